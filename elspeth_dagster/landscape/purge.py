"""Purging: removing what nobody owns, of every run, without continuing any."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, exists, func, select

from elspeth_dagster.landscape import storage
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import NoSuchRunError
from elspeth_dagster.landscape.leftovers import attempt_folders, names_in, orphaned, owned_files
from elspeth_dagster.landscape.model import RunStatus
from elspeth_dagster.landscape.processes import signs_of_life
from elspeth_dagster.landscape.schema import ops_locks, ops_waiting, runs

_ENDED = (RunStatus.COMPLETED, RunStatus.ABANDONED)


@dataclass(frozen=True)
class PurgedRun:
    """What was found of one run that nobody owns.

    Attributes:
        run_id: The run.
        files: How many files.
        size_bytes: Their size.
        at_work: Its latest attempt, when that is or may be at work; its files were not looked at.
        signs: What shows that it is.
    """

    run_id: str
    files: int
    size_bytes: int
    at_work: int | None
    signs: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "run_id": self.run_id,
            "files": self.files,
            "size_bytes": self.size_bytes,
            "at_work": list(self.signs),
        }


@dataclass(frozen=True)
class Purged:
    """What was found that nobody owns.

    Attributes:
        runs: By run, the oldest first.
        locks: How many locks, and notes of steps that wait, of attempts that are over.
    """

    runs: tuple[PurgedRun, ...]
    locks: int

    def to_json(self) -> dict[str, Any]:
        """As the command prints it: sums, and the runs with leftovers or at work."""
        shown = [run.to_json() for run in self.runs if run.files or run.signs]
        totals = {name: sum(run[name] for run in shown) for name in ("files", "size_bytes")}
        return {**totals, "locks": self.locks, "runs": shown}


def purge(landscape: Landscape, run_id: str | None, *, dry_run: bool = False, force: bool = False) -> Purged:
    """Removes files and locks that were left over: of dead attempts, and of runs that have ended for good.

    What a commit owns stays, and what an attempt has written that is or may be at work. No run is changed.

    Args:
        landscape: The landscape.
        run_id: Only this run; None for all.
        dry_run: Whether to remove nothing, and only say what would be.
        force: Whether the user takes old heartbeats of other hosts for death.

    Raises:
        NoSuchRunError: There is no such run.
    """
    query = select(runs.c.run_id).order_by(runs.c.created_at, runs.c.run_id)
    known = landscape.ask(lambda connection: list(connection.execute(query).scalars()))
    if run_id is not None and run_id not in known:
        raise NoSuchRunError(run_id, landscape.location.display)
    chosen = known if run_id is None else [run_id]
    purged = tuple(_purge_run(landscape, each, dry_run=dry_run, force=force) for each in chosen)
    return Purged(purged, _free_locks(landscape, run_id, dry_run=dry_run))


def _purge_run(landscape: Landscape, run_id: str, *, dry_run: bool, force: bool) -> PurgedRun:
    # Listed before looking who is alive and what is committed: a process that begins to write only then gives
    # its files names that are not in the list.
    listed = {folder: names_in(folder) for folder in attempt_folders(landscape, run_id)}

    def look(connection: Connection) -> tuple[bool, int, list[str], set[str]]:
        query = select(runs.c.status, runs.c.fence).where(runs.c.run_id == run_id)
        status, fence = connection.execute(query).one()
        ended = status in _ENDED
        signs = [] if ended else signs_of_life(connection, run_id, fence, force=force)
        return ended, fence, signs, owned_files(connection, run_id, with_parts=not ended)

    ended, fence, signs, owned = landscape.ask(look)
    over = [folder for folder in listed if ended or int(folder.name) < fence]
    dead = over if signs else list(listed)
    found = [file for folder in dead for file in orphaned(landscape, folder, listed[folder], owned)]
    sizes = _sizes(found)
    if not dry_run:
        for file in found:
            storage.remove_file(file)
        for folder in over:
            storage.remove_folder_if_empty(folder)
    return PurgedRun(run_id, len(sizes), sum(sizes), fence if signs else None, tuple(signs))


def _sizes(files: Iterable[Path]) -> list[int]:
    """The sizes of those files that are there."""
    return [file.stat().st_size for file in files if file.is_file()]


def _free_locks(landscape: Landscape, run_id: str | None, *, dry_run: bool) -> int:
    """Frees locks of runs that have ended for good; a run that can be resumed keeps the section it is in."""
    going_on = runs.c.status.not_in(_ENDED)
    still = {
        ops_locks: exists().where(runs.c.run_id == ops_locks.c.run_id, going_on),
        ops_waiting: exists().where(
            runs.c.run_id == ops_waiting.c.run_id, runs.c.fence == ops_waiting.c.attempt, going_on
        ),
    }

    def free(connection: Connection) -> int:
        freed = 0
        for table, owned in still.items():
            stale = [~owned] if run_id is None else [~owned, table.c.run_id == run_id]
            if dry_run:
                freed += connection.execute(
                    select(func.count()).select_from(table).where(*stale)
                ).scalar_one()
            else:
                freed += connection.execute(delete(table).where(*stale)).rowcount
        return freed

    return landscape.insist(free, read_only=dry_run)
