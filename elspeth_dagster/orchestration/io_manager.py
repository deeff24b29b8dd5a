"""The IO manager of our assets: it stores nothing, and loads what a sink published."""

from pathlib import Path
from typing import Any

import dagster as dg

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.orchestration.platform import platform_root
from elspeth_dagster.orchestration.resource import LandscapeResource
from elspeth_dagster.plugins.compile import compile_pipeline
from elspeth_dagster.plugins.sinks.database import DatabaseSink

IO_MANAGER_KEY = "elspeth_io"


class NothingPublishedError(ElspethError):
    """A downstream asset asked for an asset that has not been materialised."""

    def __init__(self, key: dg.AssetKey) -> None:
        super().__init__(f"{key.to_user_string()} has not been published yet; materialise its pipeline first")


class PublishedArtifacts(dg.ConfigurableIOManager):
    """Gives downstream assets a sink's published rows as a `pandas.DataFrame`.

    Attributes:
        landscape: Where runs are recorded, for what a file alone does not tell: types, encoding, delimiter.
    """

    landscape: dg.ResourceDependency[LandscapeResource]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Nothing to store: publishing did it."""

    def load_input(self, context: dg.InputContext) -> Any:
        """Reads the artifact of the run that the latest materialisation names."""
        from elspeth_dagster.plugins.sinks import read_artifact  # noqa: PLC0415 - loads pandas

        key = context.asset_key
        event = context.instance.get_latest_materialization_event(key)
        materialization = event.asset_materialization if event else None
        if materialization is None:
            raise NothingPublishedError(key)
        run_id = str(materialization.metadata["elspeth/run_id"].value)
        with Landscape.open(self.landscape.location, create=False) as landscape:
            artifact = reads.artifact(landscape, run_id, key.path[-1])
            if artifact is None:
                raise NothingPublishedError(key)
            run = reads.run(landscape, run_id)
        place = artifact.uri
        if artifact.kind == DatabaseSink.kind:
            place = _with_password(Path(run.launch["settings_path"]), artifact.sink)
        return read_artifact(artifact.kind, place, artifact.facts)


def _with_password(settings: Path, name: str) -> str:
    """Where a sink's table is; the record does not hold the password that it takes to read it."""
    sink = compile_pipeline(settings).create(name)
    assert isinstance(sink, DatabaseSink)
    return sink.connectable(lambda path: (platform_root() / path).resolve())
