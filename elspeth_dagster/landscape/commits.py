"""The commit: one transaction that makes a piece of work visible, fenced and unique."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from elspeth_dagster.landscape import storage
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.digest import commit_digest, content_digest, settled, table_digest
from elspeth_dagster.landscape.drafts import (
    ArtifactFacts,
    ChunkFacts,
    CommitDraft,
    CommitKey,
    PartFile,
    catalogue_rows,
)
from elspeth_dagster.landscape.errors import CatalogueLostError, DeterminismError, FenceLostError
from elspeth_dagster.landscape.model import Attempt, Phase, RunStatus
from elspeth_dagster.landscape.patience import Waiting
from elspeth_dagster.landscape.schema import commits, metadata, parts, runs
from elspeth_dagster.landscape.segments import WrittenSegment, file_stem, write_segments

__all__ = [
    "ArtifactFacts",
    "ChunkFacts",
    "CommitDraft",
    "CommitKey",
    "PartFile",
    "attempt_file",
    "attempt_folder",
    "check_fence",
    "commit",
    "commit_and",
]

# May differ when a resumed run compiles its graph again: code may change, and fingerprints of secrets.
_FREE_TO_CHANGE = frozenset({"code_hash", "options"})


def attempt_folder(landscape: Landscape, attempt: Attempt) -> Path:
    """The folder for files that this attempt writes: segments and parts. It exists."""
    folder = landscape.location.segments / attempt.run_id / str(attempt.number)
    storage.make_folder(folder)
    return folder


def attempt_file(landscape: Landscape, attempt: Attempt, key: CommitKey, name: str, suffix: str) -> Path:
    """A path, not used before, for a file that a commit with this key is going to name."""
    folder = attempt_folder(landscape, attempt)
    return folder / f"{file_stem(key.phase, key.node, key.ordinal, name)}{suffix}"


def commit(landscape: Landscape, attempt: Attempt, draft: CommitDraft) -> bool:
    """Records a piece of work, durably and all at once.

    Returns:
        True if it was recorded now, False if it was recorded before with the same content; the draft's files
        are removed then.

    Raises:
        DeterminismError: It was recorded before with other content.
        FenceLostError: A newer attempt holds the run, or the run is completed.
        CatalogueLostError: The catalogue's database is away. Doing it again finds out what became of it.
    """
    return commit_and(landscape, attempt, draft, None)


def commit_and(
    landscape: Landscape, attempt: Attempt, draft: CommitDraft, also: Callable[[Connection], None] | None
) -> bool:
    """Does what `commit` does, with something more in the same transaction."""

    def look(connection: Connection) -> str | None:
        check_fence(connection, attempt, draft.key)
        return _committed_content(connection, attempt.run_id, draft.key)

    known = landscape.ask(look)
    if known is None:
        work = _write(landscape, attempt, draft)
        committed = _transact(landscape, work, also)
    else:
        work = _compare(attempt, draft, known)
        committed = False
    if not committed:
        _remove_files(landscape, work)
    return committed


def check_fence(
    connection: Connection, attempt: Attempt, key: CommitKey, *, lock: bool = False, exclusive: bool = False
) -> None:
    """Makes sure that an attempt may still commit; with `lock`, until the end of the transaction.

    Raises:
        FenceLostError: It may not.
    """
    query = select(runs.c.status, runs.c.fence).where(runs.c.run_id == attempt.run_id)
    if lock:
        query = query.with_for_update(read=not exclusive)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise FenceLostError(attempt.run_id, attempt.number, str(key), "the landscape holds no such run")
    if row.fence != attempt.number:
        raise FenceLostError(
            attempt.run_id, attempt.number, str(key), f"attempt {row.fence} holds the run now"
        )
    if row.status == RunStatus.ABANDONED:
        raise FenceLostError(attempt.run_id, attempt.number, str(key), "the run was abandoned")
    if row.status == RunStatus.COMPLETED and key.phase < Phase.EXPORT:
        known = _committed_content(connection, attempt.run_id, key)
        if known is None:
            raise FenceLostError(attempt.run_id, attempt.number, str(key), "the run is completed")


@dataclass(frozen=True)
class _Work:
    """A draft whose files are written, with its digest."""

    attempt: Attempt
    draft: CommitDraft
    segments: tuple[WrittenSegment, ...]
    content: str


def _write(landscape: Landscape, attempt: Attempt, draft: CommitDraft) -> _Work:
    """Writes the segments, and makes the names of all files durable."""
    tables = {
        name: table for name, table in draft.tables.items() if isinstance(table, pa.Table) and table.num_rows
    }
    paths = {name: attempt_file(landscape, attempt, draft.key, name, ".parquet") for name in tables}
    streamed = [table for table in draft.tables.values() if isinstance(table, WrittenSegment) and table.rows]
    segments = (*streamed, *write_segments(paths, tables))
    if segments or draft.parts:
        storage.fsync_folder(attempt_folder(landscape, attempt))
    content = _content(draft, {segment.table_name: segment.content_sha256 for segment in segments})
    return _Work(attempt, draft, segments, content)


def _compare(attempt: Attempt, draft: CommitDraft, known: str) -> _Work:
    """Makes sure that a draft has the content that is committed, without writing it."""
    digests = {}
    for name, table in draft.tables.items():
        if isinstance(table, WrittenSegment):
            if table.rows:
                digests[name] = table.content_sha256
        elif table.num_rows:
            digests[name] = table_digest(settled(name, table))
    content = _content(draft, digests)
    if content != known:
        raise DeterminismError(attempt.run_id, str(draft.key), known, content)
    streamed = tuple(table for table in draft.tables.values() if isinstance(table, WrittenSegment))
    return _Work(attempt, draft, streamed, content)


def _content(draft: CommitDraft, tables: Mapping[str, str]) -> str:
    facts: dict[str, Any] = {"extra": dict(draft.extra_content), "markers": dict(draft.markers)}
    if draft.chunk is not None:
        chunk = draft.chunk
        facts["chunk"] = [chunk.stage, chunk.ordinal, chunk.first_record, chunk.records]
    if draft.artifact is not None:
        facts["artifact"] = [draft.artifact.sink, draft.artifact.rows]
    facts["catalogue"] = {
        table: [{key: value for key, value in row.items() if key not in _FREE_TO_CHANGE} for row in rows]
        for table, rows in draft.catalogue.items()
    }
    parts_content = [[part.sink, part.ordinal, part.rows, part.content] for part in draft.parts]
    return content_digest(tables=tables, tallies=draft.tallies, parts=parts_content, facts=facts)


def _transact(landscape: Landscape, work: _Work, also: Callable[[Connection], None] | None) -> bool:
    """Runs the transaction until its outcome is known; the unique key makes doing it again safe."""
    waiting = Waiting(landscape.patience)
    lost = seen = False
    while True:
        try:
            with landscape.transaction() as connection:
                committed = _record(connection, landscape.location.segments, work, also, after_loss=lost)
        except CatalogueLostError as error:
            waiting.after(error)
            lost = True
        except IntegrityError:
            # Another process committed the key between the look and the insert: look again.
            if seen:
                raise
            seen = True
        else:
            waiting.over()
            return committed


def _record(
    connection: Connection,
    folder: Path,
    work: _Work,
    also: Callable[[Connection], None] | None,
    *,
    after_loss: bool,
) -> bool:
    """Records the work unless it is recorded; gives whether this process did so, now or before a loss."""
    attempt, key = work.attempt, work.draft.key
    check_fence(connection, attempt, key, lock=True, exclusive=also is not None)
    known = _committed_content(connection, attempt.run_id, key)
    if known is None:
        _insert(connection, folder, work)
        if also is not None:
            also(connection)
        return True
    if known != work.content:
        raise DeterminismError(attempt.run_id, str(key), known, work.content)
    return after_loss and _is_own(connection, work)


def _committed_content(connection: Connection, run_id: str, key: CommitKey) -> str | None:
    query = select(commits.c.content_digest).where(*_at(run_id, key))
    return connection.execute(query).scalar_one_or_none()


def _is_own(connection: Connection, work: _Work) -> bool:
    """Whether the commit that stands is the one whose outcome was unknown."""
    query = select(commits.c.attempt).where(*_at(work.attempt.run_id, work.draft.key))
    return bool(connection.execute(query).scalar_one() == work.attempt.number)


def _at(run_id: str, key: CommitKey) -> list[Any]:
    return [
        commits.c.run_id == run_id,
        commits.c.phase == int(key.phase),
        commits.c.node == key.node,
        commits.c.ordinal == key.ordinal,
    ]


def _insert(connection: Connection, folder: Path, work: _Work) -> None:
    """Puts everything of a commit into the catalogue."""
    rows = catalogue_rows(work.draft, work.segments, folder)
    attempt, key = work.attempt, work.draft.key
    place = {"run_id": attempt.run_id, "phase": int(key.phase), "node": key.node, "ordinal": key.ordinal}
    made_by = {"engine_version": attempt.engine_version, "code_digest": attempt.code_digest}
    made: Any = connection.execute(
        insert(commits).values(
            **place,
            **made_by,
            attempt=attempt.number,
            content_digest=work.content,
            digest=commit_digest(
                key=place,
                content=work.content,
                made_by=made_by,
                extra=dict(work.draft.extra_content),
                rows=rows,
            ),
            extra=dict(work.draft.extra_content),
            committed_at=datetime.now(UTC),
        )
    ).inserted_primary_key
    for table, table_rows in rows.items():
        if table_rows:
            common = {"run_id": attempt.run_id, "commit_id": made[0]}
            connection.execute(insert(metadata.tables[table]), [{**common, **row} for row in table_rows])


def _remove_files(landscape: Landscape, work: _Work) -> None:
    """Removes the files of a draft that was committed before, sparing those that the commit names."""
    mine = [segment.path for segment in work.segments]
    for part in work.draft.parts:
        mine += [part.path] if part.rendered_path is None else [part.path, part.rendered_path]
    if not mine:
        return
    query = select(parts.c.path, parts.c.rendered_path).join(commits)
    query = query.where(*_at(work.attempt.run_id, work.draft.key))
    rows = landscape.ask(lambda connection: connection.execute(query).all())
    committed = {landscape.location.segments / path for row in rows for path in row if path is not None}
    for path in mine:
        if path not in committed:
            storage.remove_file(path)
