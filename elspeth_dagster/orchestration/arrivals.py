"""Files that arrive: which of those under a pattern are new or changed since the last look."""

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from elspeth_dagster.orchestration import contents
from elspeth_dagster.orchestration.finding import paths_below
from elspeth_dagster.orchestration.seen import Memory, Seen
from elspeth_dagster.settings.partitions import key_of_file, wanted_below, watched_folder

MAX_ARRIVALS = 100
"""How many files one look takes; the others' turn comes with the next ones."""

LOOK_SECONDS = 20.0
"""How long one look may read files once it knows which there are; Dagster gives up a tick after a minute."""


@dataclass(frozen=True)
class Arrived:
    """A file that is to be run.

    Attributes:
        key: Its partition's key.
        content: What tells its content from another.
        arrival: How often it has come with other content before.
    """

    key: str
    content: str
    arrival: int


@dataclass(frozen=True)
class Look:
    """What one look found.

    Attributes:
        cursor: Where the next one goes on.
        arrived: The files to run.
        waiting: How many others are there but not yet taken: too many at once, still being written, not
            readable, or not read in time.
        remark: What to say of it when there is no file to run.
    """

    cursor: str
    arrived: list[Arrived]
    waiting: int
    remark: str


@dataclass(frozen=True)
class _File:
    key: str
    path: Path
    status: os.stat_result

    @property
    def stamp(self) -> str:
        return contents.stamp(self.status)

    def quiet_since(self) -> float:
        """Since when it has not changed. A time that is yet to come was set, so the inode's own counts."""
        return min(self.status.st_mtime, self.status.st_ctime)


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """Looks for files.

    Attributes:
        memory: What was seen before.
        root: Where a relative pattern begins.
        watch: The pattern.
        settle_seconds: How long a file has not changed before it counts as arrived.
        earlier: Tells how a file arrived the last time that is no longer in memory, if ever.
        warn: Takes a line about a file that cannot be read.
        limit: How many files one look takes.
        look_seconds: How long one look may read files.
    """

    memory: Memory
    root: Path
    watch: str
    settle_seconds: float
    earlier: Callable[[str], Arrived | None]
    warn: Callable[[str], None]
    limit: int = MAX_ARRIVALS
    look_seconds: float = LOOK_SECONDS

    @property
    def folder(self) -> Path:
        """The watched folder."""
        return self.root / watched_folder(self.watch)

    def look(self, cursor: str | None) -> Look:
        """What has arrived since the last look.

        A file that is gone is forgotten, and known again by `earlier` when it comes back. When all are gone
        at once, none is forgotten: a share may be away.
        """
        cursor = cursor or ""
        known = self.memory.recall(cursor) or {}
        files = self._files(known)
        if not files:
            return Look(cursor, [], 0, self._remark(0, late=False))
        seen: Seen = {}
        arrived: list[Arrived] = []
        waiting = 0
        first = True
        now, deadline = time.time(), time.monotonic() + self.look_seconds
        for file in files:
            before = known.get(file.key)
            if before is not None:
                seen[file.key] = before
                if before[0] == file.stamp:
                    continue
            busy = len(arrived) >= self.limit or not (first or time.monotonic() < deadline)
            if busy or now - file.quiet_since() < self.settle_seconds:
                waiting += 1
                continue
            last = Arrived(file.key, *before[1:]) if before else self.earlier(file.key)
            content = self._content(file, last, deadline, give_up=first)
            first = False
            if content is None:
                waiting += 1
                continue
            this = _next(file.key, content, last)
            seen[file.key] = (file.stamp, this.content, this.arrival)
            if this != last:
                arrived.append(this)
        if seen != known:
            cursor = self.memory.keep(cursor, seen)
        return Look(cursor, arrived, waiting, self._remark(waiting, late=time.monotonic() >= deadline))

    def _remark(self, waiting: int, *, late: bool) -> str:
        if not self.folder.is_dir():
            return f"there is no folder {self.folder}"
        try:
            os.scandir(self.folder).close()
        except OSError as error:
            return f"{self.folder} cannot be looked at: {error.strerror}"
        if (self.root / self.watch).is_dir():
            return f"{self.watch} is a folder; to watch the files in it, write {self.watch.rstrip('/')}/*"
        if not waiting:
            return "no new file"
        many = f"no new file; {waiting} not yet settled or readable"
        return f"{many}, or not looked at within {self.look_seconds:g} seconds" if late else many

    def _files(self, known: Seen) -> list[_File]:
        """The files that are there; a link is left out where what it leads to is there as well."""
        folder = self.folder
        found: dict[tuple[int, int], list[_File]] = {}
        for path in paths_below(folder, wanted_below(self.watch)):
            try:
                status = path.stat()
            except OSError:
                continue  # gone between the two looks, or a link that leads nowhere
            if stat.S_ISREG(status.st_mode):
                names = found.setdefault((status.st_dev, status.st_ino), [])
                names.append(_File(key_of_file(path, folder), path, status))
        files = [file for names in found.values() for file in _without_links(names, known)]
        return sorted(files, key=lambda file: (file.status.st_mtime_ns, file.key))

    def _content(self, file: _File, last: Arrived | None, deadline: float, *, give_up: bool) -> str | None:
        """Tells a file's content from another; `None` when it can't be read or changes meanwhile.

        Args:
            file: The file.
            last: How it arrived before.
            deadline: When the look has to end.
            give_up: Whether size and time are to tell what cannot be read until then; else it waits.
        """
        by_time = contents.by_size_and_time(file.status)
        try:
            told = last.content if last and contents.is_told_by_time(last.content) else None
            if told and contents.is_still(file.path, file.status, told):
                return told
            if not contents.is_hashed(file.status):
                return by_time
            content = contents.by_hash(file.path, deadline) or (by_time if give_up else None)
            return content if contents.stamp(file.path.stat()) == file.stamp else None
        except OSError as error:
            self.warn(f"{file.path} cannot be read yet: {error}")
            return None


def _without_links(names: list[_File], known: Seen) -> list[_File]:
    """Those of a file's names that are no links, else the one that is known."""
    if len(names) == 1:
        return names
    own = [file for file in names if not file.path.is_symlink()]
    return own or [min(names, key=lambda file: (file.key not in known, file.key))]


def _next(key: str, content: str, last: Arrived | None) -> Arrived:
    if last is None:
        return Arrived(key, content, 0)
    return last if last.content == content else Arrived(key, content, last.arrival + 1)
