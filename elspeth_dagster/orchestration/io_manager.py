"""The IO manager of our assets: it stores nothing, and loads what a sink published."""

from typing import Any

import dagster as dg

from elspeth_dagster.errors import ElspethError

IO_MANAGER_KEY = "elspeth_io"


class NothingPublishedError(ElspethError):
    """A downstream asset asked for an asset that has not been materialised."""

    def __init__(self, key: dg.AssetKey) -> None:
        super().__init__(f"{key.to_user_string()} has not been published yet; materialise its pipeline first")


class PublishedArtifacts(dg.IOManager):
    """Gives downstream assets a sink's published rows as a `pandas.DataFrame`."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Nothing to store: publishing did it."""

    def load_input(self, context: dg.InputContext) -> Any:
        """Reads the artifact that the latest materialisation names."""
        from elspeth_dagster.plugins.sinks import read_artifact  # noqa: PLC0415 - loads pandas

        key = context.asset_key
        event = context.instance.get_latest_materialization_event(key)
        materialization = event.asset_materialization if event else None
        if materialization is None:
            raise NothingPublishedError(key)
        facts = materialization.metadata
        return read_artifact(str(facts["elspeth/plugin"].value), str(facts["elspeth/path"].value))
