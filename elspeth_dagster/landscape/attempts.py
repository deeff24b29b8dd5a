"""Attempts: who may work on a run, and how a run ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text, update

from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import CommitDraft, commit_and
from elspeth_dagster.landscape.digest import json_digest
from elspeth_dagster.landscape.errors import (
    FenceLostError,
    HeldByNewerError,
    NoSuchRunError,
    RecordFormatError,
    RunAbandonedError,
    SettingsChangedError,
    SupersededError,
    WrongPipelineError,
)
from elspeth_dagster.landscape.model import (
    RECORD_FORMAT,
    Attempt,
    AttemptStatus,
    Phase,
    PhaseStatus,
    RunStatus,
)
from elspeth_dagster.landscape.processes import identify, liveness, register, require_dead
from elspeth_dagster.landscape.reads import AttemptRow
from elspeth_dagster.landscape.schema import attempts, phases, runs
from elspeth_dagster.landscape.section import leave_section

__all__ = [
    "Attempt",
    "AttemptRequest",
    "close_attempt",
    "complete_run",
    "ensure_attempt",
    "liveness",
    "log_phase",
]


@dataclass(frozen=True)
class AttemptRequest:
    """What a Dagster run asks for when one of its ops begins.

    Attributes:
        pipeline: The pipeline's name.
        dagster_run_id: The Dagster run.
        parent_dagster_runs: The runs that it re-executes, nearest first.
        continues: Whether it is a re-execution from failure.
        run_id: The run to continue, when one is named.
        settings: The settings to store, without secrets; JSON.
        settings_digest: Their digest.
        launch: The launch-time configuration; JSON.
        engine_version: Version of this package.
        code: Hash of each node's code, by node.
        dagster_finished: Tells whether a Dagster run is over; None when Dagster does not know it.
        comparable: Gives, for stored and present settings, the differences that forbid going on.
        force: Whether the user takes old heartbeats of other hosts for death.
        other_pids: Other processes of this host that the Dagster run depends on, such as its run worker.
    """

    pipeline: str
    dagster_run_id: str
    parent_dagster_runs: tuple[str, ...]
    continues: bool
    run_id: str | None
    settings: Mapping[str, Any]
    settings_digest: str
    launch: Mapping[str, Any]
    engine_version: str
    code: Mapping[str, str]
    dagster_finished: Callable[[str], bool | None]
    comparable: Callable[[dict[str, Any], dict[str, Any]], list[str]]
    force: bool = False
    other_pids: tuple[int, ...] = ()


def ensure_attempt(landscape: Landscape, request: AttemptRequest) -> Attempt:
    """Gives a Dagster run's attempt on its pipeline, opening it the first time.

    Every op begins with it, since on a re-execution from failure the first ops do not run again. One
    transaction; asking again within one Dagster run gives the same attempt. Where the run is completed,
    nothing changes and the attempt's status says so.

    Raises:
        AttemptRefusedError: The run is at work elsewhere, held by a newer attempt, or began otherwise.
        NoSuchRunError: The run that was named is not there.
        WrongPipelineError: The run that was named is another pipeline's.
        RecordFormatError: The run was recorded in another format.
    """

    def ensure(connection: Connection) -> Attempt:
        _lock_pipeline(landscape, connection, request.pipeline)
        attempt = _existing(connection, request)
        if attempt is None:
            run = _run_to_continue(connection, landscape, request)
            attempt = _new_run(connection, request) if run is None else _continue(connection, request, run)
        if attempt.status is not AttemptStatus.COMPLETED:
            _register(connection, attempt, request)
        return attempt

    return landscape.insist(ensure)


def close_attempt(
    landscape: Landscape,
    attempt: Attempt | AttemptRow,
    *,
    status: AttemptStatus,
    error: Mapping[str, Any] | None = None,
) -> None:
    """Records that an attempt failed or was interrupted, if it is still the one at work.

    Args:
        landscape: The landscape.
        attempt: The attempt.
        status: `FAILED` or `INTERRUPTED`.
        error: What stopped it; JSON.
    """
    ended = {
        "status": status.value,
        "ended_at": datetime.now(UTC),
        "error": None if error is None else dict(error),
    }
    running = update(attempts).where(*_is(attempt), attempts.c.status == AttemptStatus.RUNNING.value)
    of_run = update(runs).where(
        runs.c.run_id == attempt.run_id,
        runs.c.fence == attempt.number,
        runs.c.status == RunStatus.RUNNING.value,
    )

    def close(connection: Connection) -> None:
        if connection.execute(running.values(**ended)).rowcount:
            connection.execute(of_run.values(status=RunStatus(status.value).value))

    landscape.insist(close)


def complete_run(
    landscape: Landscape, attempt: Attempt, draft: CommitDraft, *, counts: Mapping[str, Any] | None = None
) -> bool:
    """Commits the end of a run and completes it, in one transaction.

    Args:
        landscape: The landscape.
        attempt: The attempt that got there.
        draft: The commit of the phase DONE.
        counts: The summary that people are shown; JSON. It is derived from tallies.

    Returns:
        True if the run became completed now, False if it was before; nothing changes then.

    Raises:
        FenceLostError: A newer attempt holds the run.
    """
    query = select(runs.c.status).where(runs.c.run_id == attempt.run_id)
    if landscape.ask(lambda connection: connection.execute(query).scalar_one()) == RunStatus.COMPLETED:
        return False
    now = datetime.now(UTC)
    done = {
        "status": RunStatus.COMPLETED.value,
        "completed_at": now,
        "counts": None if counts is None else dict(counts),
    }

    def finish(connection: Connection) -> None:
        guarded = update(runs).where(
            runs.c.run_id == attempt.run_id,
            runs.c.fence == attempt.number,
            runs.c.status != RunStatus.COMPLETED.value,
        )
        if connection.execute(guarded.values(**done)).rowcount != 1:
            raise FenceLostError(attempt.run_id, attempt.number, str(draft.key), "the run is completed")
        ended = {"status": AttemptStatus.COMPLETED.value, "ended_at": now}
        connection.execute(update(attempts).where(*_is(attempt)).values(**ended))
        leave_section(connection, attempt.run_id)

    return commit_and(landscape, attempt, draft, finish)


def is_new(landscape: Landscape, attempt: Attempt) -> bool:
    """Whether no op of an attempt has begun yet."""
    mine = (phases.c.run_id == attempt.run_id, phases.c.attempt == attempt.number)
    query = select(phases.c.node).where(*mine).limit(1)
    return landscape.ask(lambda connection: connection.execute(query).first()) is None


def log_phase(
    landscape: Landscape,
    attempt: Attempt,
    phase: Phase,
    node: str,
    status: PhaseStatus,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Adds a line to the log of phases."""
    values = {
        "run_id": attempt.run_id,
        "attempt": attempt.number,
        "phase": int(phase),
        "node": node,
        "status": status.value,
        "logged_at": datetime.now(UTC),
        "detail": None if detail is None else dict(detail),
    }
    same = [phases.c[name] == values[name] for name in ("run_id", "attempt", "node", "status", "logged_at")]

    def add(connection: Connection) -> None:
        # An earlier try may have been committed although its connection was lost.
        if connection.execute(select(phases.c.phase_id).where(*same)).first() is None:
            connection.execute(insert(phases).values(**values))

    landscape.insist(add)


def _lock_pipeline(landscape: Landscape, connection: Connection, pipeline: str) -> None:
    """Lets one at a time open attempts of a pipeline. SQLite's write lock does that already."""
    if not landscape.is_sqlite:
        name = {"name": f"elspeth attempts of {pipeline}"}
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), name)


def _existing(connection: Connection, request: AttemptRequest) -> Attempt | None:
    query = _attempts_with_runs().where(
        attempts.c.dagster_run_id == request.dagster_run_id, attempts.c.pipeline == request.pipeline
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.run_status != RunStatus.COMPLETED and row.number != row.fence:
        raise SupersededError(row.run_id, row.number, row.fence, row.dagster_run_id)
    if row.run_status == RunStatus.ABANDONED:
        raise RunAbandonedError(row.run_id)
    return _attempt(row)


def _run_to_continue(
    connection: Connection, landscape: Landscape, request: AttemptRequest
) -> Row[Any] | None:
    """The run's row, locked; None for a new run."""
    run_id = request.run_id
    if run_id is None:
        run_id = _run_of_ancestor(connection, request) if request.continues else None
        if run_id is None:
            return None
    row = connection.execute(select(runs).where(runs.c.run_id == run_id).with_for_update()).one_or_none()
    if row is None:
        raise NoSuchRunError(run_id, landscape.location.display)
    if row.pipeline != request.pipeline:
        raise WrongPipelineError(run_id, row.pipeline, request.pipeline)
    if row.record_format != RECORD_FORMAT:
        raise RecordFormatError(run_id, row.record_format, RECORD_FORMAT)
    return row


def _run_of_ancestor(connection: Connection, request: AttemptRequest) -> str | None:
    """The run of the nearest ancestor that has one of this pipeline."""
    for parent in request.parent_dagster_runs:
        query = _attempts_with_runs().where(
            attempts.c.dagster_run_id == parent, attempts.c.pipeline == request.pipeline
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            continue
        if row.number != row.fence and row.run_status != RunStatus.COMPLETED:
            holder = select(attempts.c.dagster_run_id).where(
                attempts.c.run_id == row.run_id, attempts.c.number == row.fence
            )
            newest = connection.execute(holder).scalar_one()
            raise HeldByNewerError(row.run_id, row.number, parent, row.fence, newest)
        return str(row.run_id)
    return None


def _new_run(connection: Connection, request: AttemptRequest) -> Attempt:
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%d-%H%M%S}-{token_hex(4)}"
    values = {
        "run_id": run_id,
        "pipeline": request.pipeline,
        "record_format": RECORD_FORMAT,
        "settings": dict(request.settings),
        "settings_digest": request.settings_digest,
        "launch": dict(request.launch),
        "fence": 1,
        "status": RunStatus.RUNNING.value,
        "created_at": now,
    }
    connection.execute(insert(runs).values(**values))
    return _open(connection, request, run_id=run_id, number=1, created_at=now, now=now)


def _continue(connection: Connection, request: AttemptRequest, run: Row[Any]) -> Attempt:
    """Opens the next attempt on a run, once nothing speaks against it."""
    latest = connection.execute(
        _attempts_with_runs().where(attempts.c.run_id == run.run_id, attempts.c.number == run.fence)
    ).one()
    if run.status == RunStatus.COMPLETED:
        return _attempt(latest)
    if run.status == RunStatus.ABANDONED:
        raise RunAbandonedError(run.run_id)
    differences = request.comparable(run.settings, dict(request.settings))
    if differences:
        raise SettingsChangedError(run.run_id, differences)
    now = datetime.now(UTC)
    require_dead(connection, run.run_id, request.dagster_finished, force=request.force)
    if latest.status == AttemptStatus.RUNNING:
        superseded = {"status": AttemptStatus.SUPERSEDED.value, "ended_at": now}
        connection.execute(update(attempts).where(*_is(_attempt(latest))).values(**superseded))
    fence = run.fence + 1
    status = RunStatus.RUNNING.value
    connection.execute(update(runs).where(runs.c.run_id == run.run_id).values(fence=fence, status=status))
    return _open(connection, request, run_id=run.run_id, number=fence, created_at=run.created_at, now=now)


def _open(
    connection: Connection,
    request: AttemptRequest,
    *,
    run_id: str,
    number: int,
    created_at: datetime,
    now: datetime,
) -> Attempt:
    values = {
        "run_id": run_id,
        "number": number,
        "pipeline": request.pipeline,
        "dagster_run_id": request.dagster_run_id,
        "parent_dagster_run_id": next(iter(request.parent_dagster_runs), None),
        "status": AttemptStatus.RUNNING.value,
        "started_at": now,
        "engine_version": request.engine_version,
        "code": dict(request.code),
    }
    connection.execute(insert(attempts).values(**values))
    return Attempt(
        run_id=run_id,
        number=number,
        pipeline=request.pipeline,
        dagster_run_id=request.dagster_run_id,
        started_at=now,
        run_created_at=created_at,
        status=AttemptStatus.RUNNING,
        engine_version=request.engine_version,
        code_digest=json_digest(dict(request.code)),
    )


def _register(connection: Connection, attempt: Attempt, request: AttemptRequest) -> None:
    for pid in (None, *request.other_pids):
        process = identify(pid)
        if process is not None:
            register(connection, attempt.run_id, attempt.number, process)


def _attempts_with_runs() -> Any:
    return select(
        attempts,
        runs.c.fence,
        runs.c.status.label("run_status"),
        runs.c.created_at.label("run_created_at"),
    ).join_from(attempts, runs, attempts.c.run_id == runs.c.run_id)


def _attempt(row: Row[Any]) -> Attempt:
    completed = row.run_status == RunStatus.COMPLETED
    return Attempt(
        run_id=row.run_id,
        number=row.number,
        pipeline=row.pipeline,
        dagster_run_id=row.dagster_run_id,
        started_at=row.started_at,
        run_created_at=row.run_created_at,
        status=AttemptStatus.COMPLETED if completed else AttemptStatus(row.status),
        engine_version=row.engine_version,
        code_digest=json_digest(row.code),
    )


def _is(attempt: Attempt | AttemptRow) -> list[Any]:
    return [attempts.c.run_id == attempt.run_id, attempts.c.number == attempt.number]
