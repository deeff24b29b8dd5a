"""Every durable effect on files goes through here, so that each can be made to fail in a test.

Callers use `storage.NAME(...)`, never the names alone, so that replacing one here reaches every caller.
What the system refuses is a `StorageError`, which names the file.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any

from elspeth_dagster.landscape.errors import StorageError

_MODE = 0o666
_BUFFER_BYTES = 64 << 10
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


@contextmanager
def about(path: Path, doing: str) -> Iterator[None]:
    """Says of what the system refuses inside that it is about a file.

    Args:
        path: The file or folder.
        doing: What is done to it, as a participle: `written`.

    Raises:
        StorageError: For any `OSError`.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(path, doing, error) from error


class File(BufferedWriter):
    """A file that is open for writing.

    Attributes:
        path: Where it is.
    """

    def __init__(self, path: Path, flags: int) -> None:
        self.path = path
        super().__init__(_Descriptor(path, flags), _BUFFER_BYTES)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it; after an error, what goes wrong in that becomes a note on the error."""
        if error is None:
            self.close()
        else:
            self.abandon(error)

    def abandon(self, error: BaseException) -> None:
        """Closes it because of an error that is on its way, without what is not written yet."""
        try:
            self.raw.close()
        except OSError as second:
            error.add_note(f"while closing the file: {second}")


class _Descriptor(RawIOBase):
    """What a file's buffer writes to."""

    def __init__(self, path: Path, flags: int) -> None:
        self._path = path
        with about(path, "created or opened"):
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, _MODE)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Any) -> int:
        with about(self._path, "written"):
            return os.write(self._fd, data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            with about(self._path, "closed"):
                os.close(self._fd)


def make_folder(folder: Path) -> None:
    """Makes a folder with its parents, each of them durable."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with about(folder, "made"), suppress(FileExistsError):
        folder.mkdir()
    fsync_folder(folder.parent)


def create_file(path: Path) -> File:
    """Opens a new file for writing; an existing one is an error."""
    return File(path, os.O_EXCL)


def append_file(path: Path) -> File:
    """Opens a file for writing at its end."""
    return File(path, os.O_APPEND)


def write_file(path: Path, data: bytes) -> None:
    """Writes a new small file durably; its folder is left to `fsync_folder`."""
    with create_file(path) as file:
        file.write(data)
        fsync_file(file)


def fsync_file(file: File) -> None:
    """Makes durable what was written to an open file."""
    file.flush()
    with about(file.path, "made durable"):
        os.fsync(file.fileno())


def fsync_folder(folder: Path) -> None:
    """Makes durable the names in a folder: what was created, renamed and removed in it."""
    with about(folder, "made durable"):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def replace_file(source: Path, target: Path) -> None:
    """Renames a file over another at once; readers see the old one or the new one."""
    with about(target, "put in place"):
        source.replace(target)


def remove_file(path: Path) -> bool:
    """Removes a file if it is there, and says whether it was."""
    try:
        with about(path, "removed"):
            path.unlink()
    except StorageError as error:
        if error.errno in _ABSENT:
            return False
        raise
    return True


@contextmanager
def removed_in_the_end(*paths: Path) -> Iterator[None]:
    """Removes files one after another when the block ends, those that are there.

    What goes wrong in that becomes a note on an error that is on its way.

    Raises:
        StorageError: One could not be removed, nor were those behind it.
    """
    try:
        yield
    except BaseException as error:
        try:
            _remove_files(paths)
        except OSError as second:
            error.add_note(f"while cleaning up: {second}")
        raise
    _remove_files(paths)


def _remove_files(paths: Iterable[Path]) -> None:
    for path in paths:
        remove_file(path)


def remove_folder_if_empty(folder: Path) -> None:
    """Removes a folder that holds nothing; somebody else may fill it or remove it in the same moment."""
    with suppress(OSError):
        folder.rmdir()
