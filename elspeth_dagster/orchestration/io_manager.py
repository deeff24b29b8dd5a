"""The IO manager of our assets: it stores nothing, and loads what a sink published."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.reads import RunRow
from elspeth_dagster.orchestration.platform import platform_root
from elspeth_dagster.orchestration.resource import LandscapeResource
from elspeth_dagster.plugins.compile import compile_pipeline
from elspeth_dagster.plugins.sinks.database import DatabaseSink
from elspeth_dagster.settings.partitions import with_partition

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
        """Reads the artifact of the run that the latest materialisation names.

        Of a partitioned asset it gives that partition; of several, a dictionary by their keys.
        """
        if not context.has_asset_partitions:
            return self._rows(context.asset_key, context.instance.get_latest_materialization_event)
        frames = {
            partition: self._rows(context.asset_key, partial(_latest, context.instance, partition))
            for partition in context.asset_partition_keys
        }
        return frames if len(frames) != 1 else frames.popitem()[1]

    def _rows(self, key: dg.AssetKey, latest: Callable[[dg.AssetKey], dg.EventLogEntry | None]) -> Any:
        from elspeth_dagster.plugins.sinks import read_artifact  # noqa: PLC0415 - loads pandas

        event = latest(key)
        materialization = event.asset_materialization if event else None
        if materialization is None:
            raise NothingPublishedError(key)
        if "elspeth/run_id" not in materialization.metadata:
            # Somebody reported it by hand.
            raise NothingPublishedError(key)
        run_id = str(materialization.metadata["elspeth/run_id"].value)
        with Landscape.open(self.landscape.location, create=False) as landscape:
            artifact = reads.artifact(landscape, run_id, key.path[-1])
            if artifact is None:
                raise NothingPublishedError(key)
            run = reads.run(landscape, run_id)
        place = artifact.uri
        if artifact.kind == DatabaseSink.kind:
            place = _with_password(run, artifact.sink)
        return read_artifact(artifact.kind, place, artifact.facts)


def _latest(instance: dg.DagsterInstance, partition: str, key: dg.AssetKey) -> dg.EventLogEntry | None:
    """The latest materialisation of a partition."""
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0].event_log_entry if records else None


def _with_password(run: RunRow, name: str) -> str:
    """Where a sink's table is; the record does not hold the password that it takes to read it."""
    sink = compile_pipeline(Path(run.launch["settings_path"])).create(name)
    assert isinstance(sink, DatabaseSink)
    key = run.launch.get("partition")
    return sink.connectable(lambda path: (platform_root() / with_partition(path, key)).resolve())
