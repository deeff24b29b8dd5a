"""The file that a sink makes: written beside its place, then put there at once."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from filelock import FileLock, Timeout

from elspeth_dagster.engine.publish_errors import TargetError, TargetLockedError
from elspeth_dagster.landscape import storage
from elspeth_dagster.landscape.beside import note_beside
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import CommitKey
from elspeth_dagster.landscape.errors import StorageError
from elspeth_dagster.landscape.model import Attempt
from elspeth_dagster.plugins.sinks.file import Output

_LOCK_WAIT_S = 300.0
_LOCKS_FOLDER = "locks"
_NAME_LIMIT_BYTES = 180


class HashingFile:
    """A file that is hashed and counted on its way to the disk."""

    def __init__(self, file: Output) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: Any) -> int:
        """Writes bytes."""
        size = memoryview(data).nbytes
        self._digest.update(data)
        self._file.write(data)
        self.size_bytes += size
        return size

    @property
    def sha256(self) -> str:
        """Hash (hex) of what was written."""
        return self._digest.hexdigest()


@dataclass(frozen=True)
class Target:
    """Where a sink's file goes.

    Attributes:
        pipeline: The pipeline.
        sink: The sink.
        path: The file itself; where the settings name a link, what it points at.
    """

    pipeline: str
    sink: str
    path: Path

    @classmethod
    def at(cls, pipeline: str, sink: str, path: Path) -> "Target":
        """The target of a path, with its folder made."""
        target = cls(pipeline, sink, path)
        with target.touching():
            real = Path(os.path.realpath(path))
            if real.exists() and not real.is_file():
                raise IsADirectoryError(None, "there is a folder or device in its place", str(real))
            storage.make_folder(real.parent)
        return cls(pipeline, sink, real)

    @contextmanager
    def touching(self) -> Iterator[None]:
        """Says of what the system refuses inside that it is about the target.

        Raises:
            TargetError: For any `OSError`.
        """
        try:
            yield
        except OSError as error:
            raise TargetError(self.pipeline, self.sink, self.path, error) from error

    @contextmanager
    def locked(self, landscape: Landscape) -> Iterator[None]:
        """Keeps other publishes of this target out.

        Raises:
            TargetLockedError: Another one does not finish.
        """
        folder = landscape.location.segments / _LOCKS_FOLDER
        storage.make_folder(folder)
        name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:32]
        lock = FileLock(folder / f"{name}.lock", timeout=_LOCK_WAIT_S)
        try:
            lock.acquire()
        except Timeout as error:
            path = Path(lock.lock_file)
            raise TargetLockedError(self.pipeline, self.sink, self.path, path, _LOCK_WAIT_S) from error
        except OSError as error:
            raise StorageError(Path(lock.lock_file), "locked", error) from error
        try:
            yield
        finally:
            lock.release()


@dataclass
class Draft:
    """A target's next content, beside it under a name of its own.

    Attributes:
        target: The target.
        landscape: Where it is noted, so that whoever clears away after a crash knows of it.
        attempt: For whose run it is written.
        key: The commit that it is written for.
    """

    target: Target
    landscape: Landscape
    attempt: Attempt
    key: CommitKey

    def __post_init__(self) -> None:
        name = f"{self._prefix}.{self.attempt.number}-{token_hex(4)}.tmp"
        self.path = self.target.path.with_name(name)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Takes care that it is gone in the end, unless it was put in place."""
        note = note_beside(self.landscape, self.attempt, self.key, self.path)
        # The note goes last: as long as the draft is there, somebody has to know of it.
        with storage.removed_in_the_end(self.path, note):
            yield

    @contextmanager
    def writing(self) -> Iterator[HashingFile]:
        """The file to write to; it is durable in the end."""
        with self.target.touching():
            raw = storage.create_file(self.path)
        with raw:
            yield HashingFile(_Touching(self.target, raw))
            with self.target.touching():
                _keep_mode(raw, self.target.path)
                storage.fsync_file(raw)

    def put_in_place(self) -> None:
        """Renames it over the target, durably."""
        with self.target.touching():
            storage.replace_file(self.path, self.target.path)
            storage.fsync_folder(self.target.path.parent)

    @property
    def _prefix(self) -> str:
        name, sink = self.target.path.name, self.target.sink
        readable = f".{name}.elspeth-{self.attempt.run_id}-{sink}"
        if len(os.fsencode(readable)) <= _NAME_LIMIT_BYTES:
            return readable
        return f".elspeth-{hashlib.sha256(os.fsencode(readable)).hexdigest()[:40]}"


class _Touching:
    """A file whose refusals are about the target."""

    def __init__(self, target: Target, file: storage.File) -> None:
        self._target = target
        self._file = file

    def write(self, data: Any) -> int:
        with self._target.touching():
            return self._file.write(data)


def _keep_mode(file: storage.File, path: Path) -> None:
    """Gives a new file the permissions of the one that it replaces."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return
    os.fchmod(file.fileno(), mode)
