"""The files of a pattern, each once, however many links lead to it."""

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from elspeth_dagster.settings.partitions import is_pattern


def paths_below(folder: Path, wanted: Sequence[str]) -> Iterator[Path]:
    """What a pattern finds, as `glob` does, but links to folders are not followed.

    Such links may form a loop, and give one file many names.

    Args:
        folder: Where the pattern begins; it may be a link itself.
        wanted: The pattern's parts.
    """
    if not wanted:
        return
    first, *rest = wanted
    if first == "**":
        yield from _at_any_depth(folder, rest)
        return
    found = [Path(entry.path) for entry in _entries(folder, first)] if is_pattern(first) else [folder / first]
    if not rest:
        yield from found
        return
    for below in found:
        if _is_own_folder(below):
            yield from paths_below(below, rest)


def _is_own_folder(path: Path) -> bool:
    try:
        return path.is_dir() and not path.is_symlink()
    except OSError:
        return False  # not for us to look into


def _at_any_depth(folder: Path, rest: Sequence[str]) -> Iterator[Path]:
    if rest:
        yield from paths_below(folder, rest)
    for entry in _entries(folder, "*"):
        if entry.is_dir(follow_symlinks=False):
            yield from _at_any_depth(Path(entry.path), rest)
        elif not rest:
            yield Path(entry.path)


def _entries(folder: Path, wanted: str) -> list[os.DirEntry[str]]:
    matches = re.compile(fnmatch.translate(wanted)).match
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if matches(entry.name)]
    except OSError:
        return []  # gone meanwhile, or not for us to read
    # A wildcard finds no name that begins with a dot.
    return [entry for entry in found if wanted.startswith(".") or not entry.name.startswith(".")]
