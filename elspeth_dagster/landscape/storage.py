"""Every durable effect on files goes through here, so that each can be made to fail in a test.

Callers use `storage.NAME(...)`, never the names alone, so that replacing one here reaches every caller.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def make_folder(folder: Path) -> None:
    """Makes a folder with its parents, each of them durable."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    fsync_folder(folder.parent)


def create_file(path: Path) -> BinaryIO:
    """Opens a new file for writing; an existing one is an error."""
    return path.open("xb")


def overwrite_file(path: Path) -> BinaryIO:
    """Opens a file for writing, emptied if it exists."""
    return path.open("wb")


def append_file(path: Path) -> BinaryIO:
    """Opens a file for writing at its end."""
    return path.open("ab")


def write_file(path: Path, data: bytes) -> None:
    """Writes a new small file durably; its folder is left to `fsync_folder`."""
    with create_file(path) as file:
        file.write(data)
        fsync_file(file)


def fsync_file(file: BinaryIO) -> None:
    """Makes durable what was written to an open file."""
    file.flush()
    _fsync(file.fileno())


def fsync_paths(paths: Iterable[Path]) -> None:
    """Makes durable files that were written and closed."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        try:
            _fsync(fd)
        finally:
            os.close(fd)


def fsync_folder(folder: Path) -> None:
    """Makes durable the names in a folder: what was created, renamed and removed in it."""
    fsync_paths((folder,))


def replace_file(source: Path, target: Path) -> None:
    """Renames a file over another at once; readers see the old one or the new one."""
    source.replace(target)


def remove_file(path: Path) -> bool:
    """Removes a file if it is there, and says whether it was."""
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def remove_folder_if_empty(folder: Path) -> None:
    """Removes a folder that holds nothing; somebody else may fill it or remove it in the same moment."""
    with suppress(OSError):
        folder.rmdir()


def _fsync(fd: int) -> None:
    os.fsync(fd)
