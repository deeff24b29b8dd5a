"""Where the platform lives on this machine: its root, and the landscape."""

import getpass
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from elspeth_dagster.landscape.location import Location


def platform_root(environ: Mapping[str, str] = os.environ) -> Path:
    """`ELSPETH_ROOT`, else the nearest folder upwards with a workspace.yaml, else the working directory."""
    named = environ.get("ELSPETH_ROOT")
    if named:
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "workspace.yaml").is_file():
            return folder
    return here


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
