"""Partitions: by which key one run's share of the outside world is known, in time or by file."""

import os
import re
from enum import StrEnum
from pathlib import PurePath
from urllib.parse import unquote_to_bytes

PLACEHOLDER = "{partition}"
"""Stands in paths for the partition's key."""

_WILDCARD = re.compile(r"[*?\[]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\\ud800-\udfff]|\A\.{0,2}\Z|\.\.\.")
_ENCODED = re.compile(r"[\x00-\x1f\x7f/\\%\ud800-\udfff]|\.(?=\.\.)")


class Cadence(StrEnum):
    """`dagster.partitions`: how long a time partition is."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


def with_partition(path: str, key: str | None) -> str:
    """A path of the settings file with the partition's key in it."""
    return path if key is None else path.replace(PLACEHOLDER, key)


def is_safe_key(key: str) -> bool:
    """Whether a partition's key is one path component that stays where it is put."""
    return _UNSAFE.search(key) is None


def is_pattern(part: str) -> bool:
    """Whether a path component has a wildcard."""
    return _WILDCARD.search(part) is not None


def watched_folder(pattern: str) -> str:
    """The folder above the first wildcard of a pattern; keys of files are relative to it."""
    return str(PurePath(*_divided(pattern)[0]))


def wanted_below(pattern: str) -> tuple[str, ...]:
    """The parts of a pattern below its watched folder."""
    return _divided(pattern)[1]


def _divided(pattern: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    parts = PurePath(os.path.normpath(pattern)).parts
    fixed = next((place for place, part in enumerate(parts) if is_pattern(part)), len(parts) - 1)
    return parts[:fixed], parts[fixed:]


def key_of_file(path: PurePath, folder: PurePath) -> str:
    """The key of a file below a watched folder: its path there, as one path component.

    A file `b/c.csv` of the folder is `b%2Fc.csv`; no two files have one key.

    Raises:
        ValueError: The file is not below the folder.
    """
    below = str(path.relative_to(folder))
    return _ENCODED.sub(lambda found: "".join(f"%{byte:02X}" for byte in os.fsencode(found[0])), below)


def file_of_key(key: str, folder: str) -> str | None:
    """The path of the file that a key stands for; `None` where it is not the key of a file in the folder."""
    return str(PurePath(folder) / _below(key)) if meant_key(key) == key else None


def meant_key(key: str) -> str | None:
    """The key of the file that somebody means who writes a key in another way, or a path in the folder."""
    below = _below(key)
    if below.is_absolute() or "\0" in str(below) or not below.parts or ".." in below.parts:
        return None
    return key_of_file(below, PurePath())


def _below(key: str) -> PurePath:
    return PurePath(os.fsdecode(unquote_to_bytes(os.fsencode(key))))
