"""The landscape as a Dagster resource."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

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

    def location_by(self, run_config: Mapping[str, Any]) -> Location:
        """The place for a run's configuration, where the resource was not set up for it."""
        given = run_config.get("resources", {}).get("landscape", {}).get("config", {})
        catalogue, segments = (
            _text(given.get(name, getattr(self, name))) for name in ("catalogue", "segments")
        )
        return landscape_location(catalogue, segments)

    @contextmanager
    def opened(self, say: Say = to_log) -> Iterator[Landscape]:
        """The landscape, open until the block ends.

        Args:
            say: Takes a line for people while the catalogue is away and is waited for.
        """
        with Landscape.open(self.location, say=say) as landscape:
            yield landscape


def _text(value: Any) -> str:
    """A configured text, which may be the name of an environment variable."""
    if isinstance(value, dg.EnvVar):
        return value.get_value() or ""
    return os.environ.get(value["env"], "") if isinstance(value, Mapping) else str(value)
