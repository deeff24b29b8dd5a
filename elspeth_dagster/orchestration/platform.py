"""Where the platform lives on this machine: its root, and the landscape."""

import getpass
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from elspeth_dagster.landscape.location import Location

_MARK = "workspace.yaml"


def platform_root(environ: Mapping[str, str] = os.environ) -> Path:
    """`ELSPETH_ROOT`, else the nearest folder upwards with a workspace.yaml, else the working directory."""
    named = environ.get("ELSPETH_ROOT")
    if named:
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    return _marked_from(here) or here


def _marked_from(here: Path) -> Path | None:
    return next((folder for folder in (here, *here.parents) if (folder / _MARK).is_file()), None)


def root_by_default() -> str:
    """What to tell who misses something under the root; empty where it is said which folder that is."""
    here = Path.cwd()
    if os.environ.get("ELSPETH_ROOT") or _marked_from(here):
        return ""
    return (
        f"The platform root is {here}, since no folder upwards of it holds a {_MARK}; "
        "set ELSPETH_ROOT, or change the folder."
    )


def take_root_of(settings: Path) -> Path | None:
    """Makes the platform that a settings file is in the root, where nothing else says which folder that is.

    Processes that this one starts have it too. Gives the root if it was chosen so.
    """
    found = _marked_from(settings.resolve().parent) if root_by_default() else None
    if found is not None:
        os.environ["ELSPETH_ROOT"] = str(found)
    return found


def landscape_location(catalogue: str = "", segments: str = "") -> Location:
    """The landscape named, else that of `ELSPETH_LANDSCAPE`, else `landscape/` under the platform root.

    Args:
        catalogue: A folder or a SQLAlchemy URL.
        segments: The folder of segments, when it is not beside the catalogue; else `ELSPETH_SEGMENTS`.
    """
    named = catalogue or os.environ.get("ELSPETH_LANDSCAPE", "")
    segments = segments or os.environ.get("ELSPETH_SEGMENTS", "")
    root = platform_root()
    if not named:
        return Location.parse(root / "landscape", segments=root / segments if segments else None)
    value: str | Path = named if "://" in named else root / Path(named).expanduser()
    return Location.parse(value, segments=root / segments if segments else None)


def this_user() -> str:
    """Who is at work here, for the record."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
