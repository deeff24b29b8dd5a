"""Removing files that nobody needs: of dead attempts, of parts after completion, of a source read again."""

import os
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection, delete, func, or_, select

from elspeth_dagster.landscape import storage
from elspeth_dagster.landscape.beside import noted_in
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import check_fence
from elspeth_dagster.landscape.drafts import CommitKey
from elspeth_dagster.landscape.errors import NotCompletedError, SourceFrozenError
from elspeth_dagster.landscape.model import Attempt, Phase, RunStatus
from elspeth_dagster.landscape.schema import commits, markers, metadata, parts, runs, segments

# What an export that is under way has written begins so; see `segments.file_stem`.
_EXPORTING = f"{int(Phase.EXPORT)}-"


def sweep_attempt_leftovers(landscape: Landscape, attempt: Attempt) -> int:
    """Removes what older attempts of the run wrote and did not commit, beside targets too.

    A process of theirs that still writes can commit no more, so nothing that would have counted is lost.

    Returns:
        How many files were removed.
    """
    older = [
        folder for folder in attempt_folders(landscape, attempt.run_id) if int(folder.name) < attempt.number
    ]
    owned = landscape.ask(lambda connection: owned_files(connection, attempt.run_id, with_parts=True))
    return _sweep(landscape, older, owned)


def delete_parts(landscape: Landscape, run_id: str) -> int:
    """Removes the parts of a run that has ended for good, and all else of its attempts that is no segment.

    Returns:
        How many files were removed.

    Raises:
        NotCompletedError: The run may still need them.
    """

    def owned(connection: Connection) -> set[str]:
        status = connection.execute(select(runs.c.status).where(runs.c.run_id == run_id)).scalar_one_or_none()
        if status not in (RunStatus.COMPLETED, RunStatus.ABANDONED):
            raise NotCompletedError(run_id, str(status))
        return owned_files(connection, run_id, with_parts=False)

    return _sweep(landscape, attempt_folders(landscape, run_id), landscape.ask(owned))


def drop_source_chunks(landscape: Landscape, attempt: Attempt) -> int:
    """Forgets what was read of a source, so that it can be read from its start again.

    Only while nothing stands on it: before its end is marked and before anything later is committed.

    Returns:
        How many commits were dropped.

    Raises:
        SourceFrozenError: Something stands on it.
        FenceLostError: A newer attempt holds the run.
    """
    # Kept over all tries: one whose connection was lost may have dropped them.
    files: set[str] = set()
    gone: set[int] = set()
    read_of_source = (commits.c.run_id == attempt.run_id, commits.c.phase == int(Phase.SOURCE))
    dropped = select(commits.c.commit_id).where(*read_of_source)

    def drop(connection: Connection) -> None:
        _require_alone(connection, attempt)
        gone.update(connection.execute(dropped).scalars())
        named = select(segments.c.path).where(segments.c.commit_id.in_(dropped))
        files.update(connection.execute(named).scalars())
        for table in reversed(metadata.sorted_tables):
            if "commit_id" in table.c:
                connection.execute(delete(table).where(table.c.commit_id.in_(dropped)))

    landscape.insist(drop)
    for file in files:
        storage.remove_file(landscape.location.segments / file)
    return len(gone)


def _require_alone(connection: Connection, attempt: Attempt) -> None:
    """Makes sure that nothing stands on what was read of the source, and that nobody can commit now."""
    mine = commits.c.run_id == attempt.run_id
    check_fence(connection, attempt, CommitKey(Phase.SOURCE, "source", 0), lock=True, exclusive=True)
    later = select(func.count()).select_from(commits.outerjoin(markers))
    marked = markers.c.commit_id.is_not(None) & (commits.c.phase == int(Phase.SOURCE))
    if connection.execute(later.where(mine, or_(commits.c.phase > int(Phase.SOURCE), marked))).scalar_one():
        raise SourceFrozenError(attempt.run_id)


def attempt_folders(landscape: Landscape, run_id: str) -> list[Path]:
    """The folders of a run's attempts, each named by the attempt's number."""
    folder = landscape.location.segments / run_id
    return [folder / name for name in names_in(folder) if name.isdigit()]


def names_in(folder: Path) -> list[str]:
    """What is in a folder, by name: there may be several files for each chunk of a run.

    Nothing, when somebody else has removed it.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except FileNotFoundError:
        return []


def owned_files(connection: Connection, run_id: str, *, with_parts: bool) -> set[str]:
    """What the commits of a run own, as stored paths: segments, and parts as long as they are needed."""
    owned = set(connection.execute(select(segments.c.path).where(segments.c.run_id == run_id)).scalars())
    if with_parts:
        rows = connection.execute(select(parts.c.path, parts.c.rendered_path).where(parts.c.run_id == run_id))
        owned |= {path for row in rows for path in row if path is not None}
    return owned


def orphaned(landscape: Landscape, folder: Path, names: Iterable[str], owned: set[str]) -> list[Path]:
    """Those files of an attempt that nothing owns, a file beside a target before the note that names it."""
    stored = folder.relative_to(landscape.location.segments).as_posix()
    found = []
    for name in names:
        if f"{stored}/{name}" in owned or name.startswith(_EXPORTING):
            continue
        beside = noted_in(folder / name)
        found += [folder / name] if beside is None else [beside, folder / name]
    return found


def _sweep(landscape: Landscape, folders: Iterable[Path], owned: set[str]) -> int:
    removed = 0
    for folder in folders:
        files = orphaned(landscape, folder, names_in(folder), owned)
        removed += sum(map(storage.remove_file, files))
        storage.remove_folder_if_empty(folder)
    return removed
