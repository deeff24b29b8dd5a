"""Where a command works: the platform root and the landscape."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


def take_root_of(settings: Path) -> None:
    """Makes a settings file's platform the root, where nothing else says which is, and says so."""
    from elspeth_dagster.orchestration import platform  # noqa: PLC0415 - keeps `--help` fast

    root = platform.take_root_of(settings)
    if root is not None:
        click.echo(
            f"the platform root is {root}, which the settings file is in; other commands take it from "
            "ELSPETH_ROOT, or from the folder that they are called in", err=True
        )  # fmt: skip


def prepare(landscape: str) -> Any:
    """The landscape's location, made known to every process that this one starts."""
    from elspeth_dagster.orchestration.platform import landscape_location  # noqa: PLC0415

    if landscape and "://" not in landscape:
        landscape = str(Path(landscape).expanduser().resolve())
    location = landscape_location(landscape)
    if landscape:
        os.environ["ELSPETH_LANDSCAPE"] = landscape
    return location


@contextmanager
def opened_landscape(location: Any) -> Iterator[Any]:
    """The landscape, to look at or to go on with; where there is none, it says why it is looked for there."""
    from elspeth_dagster.landscape.catalogue import Landscape  # noqa: PLC0415
    from elspeth_dagster.landscape.errors import LandscapeMissingError  # noqa: PLC0415
    from elspeth_dagster.orchestration.platform import root_by_default  # noqa: PLC0415

    try:
        with Landscape.open(location, create=False) as opened:
            yield opened
    except LandscapeMissingError as error:
        if not os.environ.get("ELSPETH_LANDSCAPE") and (hint := root_by_default()):
            error.add_note(hint)
        raise
