"""A pipeline's settings, validated."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elspeth_dagster.settings.dagster_section import DagsterSettings
from elspeth_dagster.settings.engine_sections import (
    CheckpointSettings,
    ConcurrencySettings,
    ExportSettings,
    LandscapeSettings,
    PayloadStoreSettings,
    RateLimitSettings,
    RetrySettings,
    TelemetrySettings,
)
from elspeth_dagster.settings.errors import Problem
from elspeth_dagster.settings.locations import KeyPath, Locations
from elspeth_dagster.settings.nodes import (
    AggregationSettings,
    CoalesceSettings,
    GateSettings,
    SinkSettings,
    SourceSettings,
    TransformSettings,
)
from elspeth_dagster.settings.secrets import Secrets
from elspeth_dagster.settings.stored import StoredNodes, stored_settings


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """What one settings file declares.

    Attributes:
        pipeline: The pipeline's name.
        path: The settings file, absolute.
        source: The source.
        sinks: The sinks by name, in the order of the file.
        transforms: The transforms, in the order of the file, as are the others.
        gates: The gates.
        aggregations: The aggregations.
        coalesces: The coalesces.
        dagster: How the pipeline shows and behaves in Dagster.
        checkpoint: How often work is committed.
        retry: How often calls are tried.
        rate_limit: How often services may be called.
        concurrency: How many calls to something outside are under way at a time.
        telemetry: Not supported yet.
        payload_store: Without effect here.
        landscape: Only its `export` matters.
        warnings: What is accepted, but does not do what its author may expect; each with file, line and key.
        document: The file's content, keys in lower case, environment variables put in. Holds secrets.
        locations: Where each key stands.
        secrets: Which values are secret.
    """

    pipeline: str
    path: Path
    source: SourceSettings
    sinks: dict[str, SinkSettings]
    transforms: tuple[TransformSettings, ...]
    gates: tuple[GateSettings, ...]
    aggregations: tuple[AggregationSettings, ...]
    coalesces: tuple[CoalesceSettings, ...]
    dagster: DagsterSettings
    checkpoint: CheckpointSettings
    retry: RetrySettings
    rate_limit: RateLimitSettings
    concurrency: ConcurrencySettings
    telemetry: TelemetrySettings
    payload_store: PayloadStoreSettings
    landscape: LandscapeSettings
    warnings: tuple[str, ...]
    document: Mapping[str, Any]
    locations: Locations
    secrets: Secrets

    def __repr__(self) -> str:
        return f"Settings(pipeline={self.pipeline!r}, path={str(self.path)!r})"

    @property
    def export(self) -> ExportSettings:
        """How the record is written out after a run."""
        return self.landscape.export

    @property
    def chunk_rows(self) -> int | None:
        """Rows of a chunk; None leaves it to the engine."""
        return self.checkpoint.chunk_rows

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Make a problem that points at a key of the file, or at its nearest ancestor there.

        Args:
            path: The key, such as `(*node.path, "options", "mapping")`.
            message: What is wrong; secrets in it are replaced by `***`.
        """
        return self.locations.problem(path, self.secrets.scrubbed(message))

    def scrubbed(self, text: str) -> str:
        """Give a text for people with every secret of these settings in it replaced by `***`."""
        return self.secrets.scrubbed(text)

    def stored(self, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Give what is recorded of these settings: plain data that JSON takes, without any secret.

        Args:
            environ: Holds `ELSPETH_FINGERPRINT_KEY`; None stands for the environment at load.
        """
        secrets = self.secrets if environ is None else self.secrets.keyed(environ)
        nodes = (self.source, self.transforms, self.gates, self.aggregations, self.coalesces, self.sinks)
        return stored_settings(self.pipeline, StoredNodes(*nodes), self.document, secrets)
