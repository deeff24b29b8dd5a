"""Ending a run that nobody will resume."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, update

from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import NoSuchRunError
from elspeth_dagster.landscape.leftovers import delete_parts
from elspeth_dagster.landscape.model import AttemptStatus, Phase, PhaseStatus, RunStatus
from elspeth_dagster.landscape.processes import require_dead
from elspeth_dagster.landscape.schema import attempts, phases, runs
from elspeth_dagster.landscape.section import leave_section


@dataclass(frozen=True)
class Abandoned:
    """What became of a run that was to be abandoned.

    Attributes:
        status: The run's status now: `ABANDONED`, or `COMPLETED` when there was nothing to give up.
        changed: Whether it was given up now.
        removed: How many files were removed.
    """

    status: RunStatus
    changed: bool
    removed: int


def abandon_run(
    landscape: Landscape,
    run_id: str,
    *,
    by: str,
    dagster_finished: Callable[[str], bool | None],
    force: bool = False,
) -> Abandoned:
    """Gives a run up: it can commit nothing more, its locks are freed, its record stays.

    Files of its own that no segment is are removed. What it has published stays where it is.

    Args:
        landscape: The landscape.
        run_id: The run.
        by: Who gives it up, for the record.
        dagster_finished: Tells whether a Dagster run is over; None when Dagster does not know it.
        force: Whether the user takes old heartbeats of other hosts for death.

    Raises:
        NoSuchRunError: There is no such run.
        RunAliveError: Its latest attempt is at work; nothing was changed.
    """

    def give_up(connection: Connection) -> tuple[RunStatus, bool]:
        query = select(runs.c.status, runs.c.fence).where(runs.c.run_id == run_id).with_for_update()
        run = connection.execute(query).one_or_none()
        if run is None:
            raise NoSuchRunError(run_id, landscape.location.display)
        status = RunStatus(run.status)
        if status in (RunStatus.COMPLETED, RunStatus.ABANDONED):
            return status, False
        require_dead(connection, run_id, dagster_finished, force=force)
        _give_up(connection, run_id, run.fence, by)
        return RunStatus.ABANDONED, True

    status, changed = landscape.insist(give_up)
    removed = delete_parts(landscape, run_id)
    return Abandoned(status, changed, removed)


def _give_up(connection: Connection, run_id: str, number: int, by: str) -> None:
    now = datetime.now(UTC)
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(status=RunStatus.ABANDONED.value))
    still_open = (
        attempts.c.run_id == run_id,
        attempts.c.number == number,
        attempts.c.status == AttemptStatus.RUNNING.value,
    )
    ended = {"status": AttemptStatus.INTERRUPTED.value, "ended_at": now}
    connection.execute(update(attempts).where(*still_open).values(**ended))
    line = {
        "run_id": run_id,
        "attempt": number,
        "phase": int(Phase.DONE),
        "node": "run",
        "status": PhaseStatus.ABANDONED.value,
        "logged_at": now,
        "detail": {"by": by},
    }
    connection.execute(insert(phases).values(**line))
    leave_section(connection, run_id)
