"""The sections about how a pipeline is run: section 8 of the format."""

from dataclasses import field
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from elspeth_dagster.settings.value_types import STRICT, Number, PositiveNumber, Text

MAX_TRIES = 32_767
"""The record counts the tries of a call in 16 bits."""


class CheckpointFrequency(StrEnum):
    """How often the original engine saved its state; here every commit is a checkpoint."""

    EVERY_ROW = "every_row"
    EVERY_N = "every_n"
    AGGREGATION_ONLY = "aggregation_only"


class RunMode(StrEnum):
    """Where the answers of outside services come from: from them, or from the record of an earlier run."""

    LIVE = "live"
    REPLAY = "replay"
    VERIFY = "verify"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModeSettings:
    """`run_mode` and `replay_from`, which stand at the root."""

    run_mode: RunMode = RunMode.LIVE
    replay_from: Text | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CheckpointSettings:
    """`checkpoint`."""

    enabled: bool = True
    frequency: CheckpointFrequency = CheckpointFrequency.EVERY_ROW
    checkpoint_interval: PositiveNumber | None = None
    aggregation_boundaries: bool = True

    @property
    def chunk_rows(self) -> int | None:
        """Rows of a chunk; None when the file doesn't say."""
        return self.checkpoint_interval if self.frequency is CheckpointFrequency.EVERY_N else None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RetrySettings:
    """`retry`: how often a call is tried in all, and how long is waited between."""

    max_attempts: Annotated[PositiveNumber, Field(le=MAX_TRIES)] = 3
    initial_delay_seconds: Annotated[Number, Field(ge=0.01)] = 1.0
    max_delay_seconds: Annotated[Number, Field(ge=0.1)] = 60.0
    exponential_base: Annotated[Number, Field(gt=1)] = 2.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ConcurrencySettings:
    """`concurrency`."""

    max_workers: PositiveNumber = 4


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PayloadStoreSettings:
    """`payload_store`."""

    backend: Literal["filesystem"] = "filesystem"
    base_path: Text = ".elspeth/payloads"
    retention_days: PositiveNumber = 90


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ServiceRate:
    """An entry of `rate_limit.services`."""

    requests_per_minute: PositiveNumber = 60


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RateLimitSettings:
    """`rate_limit`: how often services may be called."""

    enabled: bool = True
    default_requests_per_minute: PositiveNumber = 60
    persistence_path: Text | None = None
    services: dict[str, ServiceRate] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExporterSettings:
    """An entry of `telemetry.exporters`."""

    name: Literal["console", "otlp", "azure_monitor", "datadog"]
    options: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TelemetrySettings:
    """`telemetry`."""

    enabled: bool = False
    granularity: Literal["lifecycle", "rows", "full"] = "lifecycle"
    backpressure_mode: Literal["block", "drop", "slow"] = "block"
    fail_on_total_exporter_failure: bool = True
    max_consecutive_failures: PositiveNumber = 10
    exporters: tuple[ExporterSettings, ...] = ()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExportSettings:
    """`landscape.export`: the record, written out after a completed run."""

    enabled: bool = False
    sink: Text | None = None
    format: Literal["csv", "json"] = "csv"
    sign: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LandscapeSettings:
    """`landscape`: only `export` has an effect here, since there is one landscape per platform."""

    enabled: bool = True
    backend: Literal["sqlite", "sqlcipher", "postgresql"] = "sqlite"
    url: Text | None = field(default=None, repr=False)
    encryption_key_env: Text = "ELSPETH_AUDIT_KEY"
    dump_to_jsonl: bool = False
    dump_to_jsonl_path: Text | None = None
    dump_to_jsonl_fail_on_error: bool = False
    dump_to_jsonl_include_payloads: bool = False
    dump_to_jsonl_payload_base_path: Text | None = None
    export: ExportSettings = field(default_factory=ExportSettings)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SecretsSettings:
    """`secrets`: where environment variables that hold secrets come from."""

    source: Literal["env", "keyvault"] = "env"
    vault_url: Text | None = None
    mapping: dict[str, Text] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Dependency:
    """An entry of `depends_on`."""

    name: Text
    settings: Text


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CommencementGate:
    """An entry of `commencement_gates`."""

    name: Text
    condition: Text


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CollectionProbe:
    """An entry of `collection_probes`."""

    collection: Text
    provider: Text
    provider_config: dict[str, Any] = field(default_factory=dict, repr=False)
