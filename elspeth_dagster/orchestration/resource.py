"""The landscape as a Dagster resource."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.patience import Say, to_log
from elspeth_dagster.orchestration.platform import landscape_location


class LandscapeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where runs are recorded. Left empty, `ELSPETH_LANDSCAPE` or the platform root decide.

    Setting it up has no side effect: Dagster does that more often than one thinks, and once more after a
    run's end. Ops open the landscape themselves.
    """

    catalogue: str = Field(
        default="",
        description="A folder, or a SQLAlchemy URL of the catalogue; give one with a password as an EnvVar.",
    )
    segments: str = Field(
        default="", description="Folder of the segment files; default: beside the catalogue."
    )

    @property
    def location(self) -> Location:
        """The place, resolved."""
        return landscape_location(self.catalogue, self.segments)

    @contextmanager
    def opened(self, say: Say = to_log) -> Iterator[Landscape]:
        """The landscape, open until the block ends.

        Args:
            say: Takes a line for people while the catalogue is away and is waited for.
        """
        with Landscape.open(self.location, say=say) as landscape:
            yield landscape
