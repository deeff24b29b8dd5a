"""The `null` source."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from elspeth_dagster.plugins.base import ReadRequest, Replay, Source, SourceChunk


class NullOptions(BaseModel):
    """Takes any options and uses none."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class NullSource(Source):
    """Gives no records."""

    Options: ClassVar[type[BaseModel]] = NullOptions
    replay = Replay.CURSOR

    def chunks(self, request: ReadRequest) -> Iterator[SourceChunk]:  # noqa: ARG002 - there is nothing to ask for
        """Yields nothing."""
        return iter(())
