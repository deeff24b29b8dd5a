"""Files outside the landscape that belong to an attempt: the next content of a target, written beside it.

Before one is made, a note in the attempt's folder says where it is going to be. So whoever sweeps what the
attempt left finds it, without the settings, wherever the target is.
"""

import os
from pathlib import Path

from elspeth_dagster.landscape import storage
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import CommitKey, attempt_file
from elspeth_dagster.landscape.model import Attempt

_SUFFIX = ".beside"
_MARK, _END = ".elspeth-", ".tmp"


def note_beside(landscape: Landscape, attempt: Attempt, key: CommitKey, path: Path) -> Path:
    """Notes durably that a file is about to be made; gives the note, which goes after the file."""
    note = attempt_file(landscape, attempt, key, "draft", _SUFFIX)
    storage.write_file(note, os.fsencode(path))
    storage.fsync_folder(note.parent)
    return note


def noted_in(file: Path) -> Path | None:
    """The file beside a target that a file of an attempt's folder is the note of, if it is one.

    A note that is cut off, or names what no draft of ours can be, names nothing.
    """
    if file.suffix != _SUFFIX:
        return None
    try:
        path = Path(os.fsdecode(file.read_bytes()))
    except FileNotFoundError:
        return None
    ours = path.is_absolute() and _MARK in path.name and path.name.endswith(_END)
    return path if ours else None
