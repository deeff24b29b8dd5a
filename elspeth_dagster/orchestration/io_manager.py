"""The IO manager of our assets: it stores nothing, and loads what a sink published."""

from typing import Any

import dagster as dg

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.orchestration.resource import LandscapeResource

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
        return read_artifact(artifact.kind, artifact.uri, artifact.facts)
