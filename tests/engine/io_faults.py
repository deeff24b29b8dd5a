"""Counts the system calls of a run that change something durable, and lets one of them fail, once.

The calls are those of this process on files below a folder, and of SQLite connections to databases there. A
call is known by the phase in which it is made, its kind, where it goes and its number among those: so it is
the same call in every run of the same pipeline, whichever thread makes it.
"""

import errno
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

_WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "BEGIN IMMEDIATE")
_FULL, _BROKEN = "database or disk is full", "disk I/O error"


@dataclass(frozen=True, order=True)
class Call:
    """One system call of a run.

    Attributes:
        phase: The phase and what it works on.
        kind: Which call.
        place: The folder below the root, or the database, that it goes to.
        number: From 0, among those that have all else in common.
    """

    phase: str
    kind: str
    place: str
    number: int


@dataclass
class Faults:
    """The calls so far, and the one that is to fail.

    Attributes:
        root: Calls on files below it count.
        chosen: The call to fail, `None` for none.
        error: With which `errno`.
        late: Whether it takes effect all the same, as when the answer of a commit is lost.
        calls: Every call so far.
        failed: The path of the file or database whose call failed.
    """

    root: Path
    chosen: Call | None = None
    error: int = errno.ENOSPC
    late: bool = False
    phase: str = ""
    calls: list[Call] = field(default_factory=list)
    failed: Path | None = None
    _counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _lock: Any = field(default_factory=threading.Lock)
    _paths: dict[int, Path] = field(default_factory=dict)

    def hits(self, kind: str, path: Path) -> bool:
        """Counts a call; says whether it is the one that is to fail."""
        if not path.is_relative_to(self.root):
            return False
        place = path.name if path.suffix == ".db" else path.relative_to(self.root).parts[0]
        with self._lock:
            call = Call(self.phase, kind, place, self._counts[self.phase, kind, place])
            self._counts[self.phase, kind, place] += 1
            self.calls.append(call)
            if call != self.chosen:
                return False
            self.failed = path
            return True

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Counts what is done inside."""
        with ExitStack() as stack:
            for name, kind in (("mkdir", "mkdir"), ("unlink", "remove")):
                self._replace(stack, name, kind, lambda path, *_: path)
            self._replace(stack, "replace", "rename", lambda _source, target: target)
            self._replace(stack, "write", "write", lambda fd, _data: self._paths.get(fd, "/"))
            self._replace(stack, "fsync", "fsync", lambda fd: self._paths.get(fd, "/"))
            self._replace(stack, "open", "open", lambda path, *_: path)
            connect = sqlite3.dbapi2.connect
            stack.enter_context(mock.patch.object(sqlite3.dbapi2, "connect", self._connecting(connect)))
            yield

    def _replace(self, stack: ExitStack, name: str, kind: str, of: Callable[..., Any]) -> None:
        does = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            path = Path(os.fsdecode(of(*args)))
            if (kind != "open" or args[1] & os.O_CREAT) and self.hits(kind, path):
                raise OSError(self.error, os.strerror(self.error))
            result = does(*args, **kwargs)
            if kind == "open":
                self._paths[result] = path
            return result

        stack.enter_context(mock.patch.object(os, name, call))

    def _connecting(self, connect: Callable[..., Any]) -> Callable[..., Any]:
        def connecting(database: str, **options: Any) -> Any:
            path = Path(database)
            if self.hits("connect", path):
                raise _refusal("unable to open database file", "SQLITE_CANTOPEN")
            connection = connect(database, factory=_Connection, **options)
            connection.faults, connection.path = self, path
            return connection

        return connecting

    def refusal(self) -> sqlite3.OperationalError:
        """What SQLite says of the chosen error."""
        if self.error == errno.ENOSPC:
            return _refusal(_FULL, "SQLITE_FULL")
        return _refusal(_BROKEN, "SQLITE_IOERR_WRITE")


def _refusal(text: str, name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorname = name
    return error


class _Connection(sqlite3.Connection):
    faults: Faults
    path: Path

    def cursor(self, factory: Any = None) -> Any:
        cursor = super().cursor(factory or _Cursor)
        cursor.faults, cursor.path = self.faults, self.path
        return cursor

    def commit(self) -> None:
        hit = self.in_transaction and self.faults.hits("commit", self.path)
        if hit and not self.faults.late:
            self.rollback()
        else:
            super().commit()
        if hit:
            raise self.faults.refusal()


class _Cursor(sqlite3.Cursor):
    faults: Faults
    path: Path

    def execute(self, statement: str, *parameters: Any) -> Any:
        self._look(statement)
        return super().execute(statement, *parameters)

    def executemany(self, statement: str, *parameters: Any) -> Any:
        self._look(statement)
        return super().executemany(statement, *parameters)

    def _look(self, statement: str) -> None:
        if statement.startswith(_WRITES) and self.faults.hits("statement", self.path):
            raise self.faults.refusal()
