"""The publishing section of a pipeline: its sinks hold what one run made, never pieces of two."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import check_fence
from elspeth_dagster.landscape.drafts import CommitKey
from elspeth_dagster.landscape.errors import SectionBusyError, SectionHeldError
from elspeth_dagster.landscape.model import Attempt, Phase, RunStatus
from elspeth_dagster.landscape.processes import signs_of_life
from elspeth_dagster.landscape.schema import ops_locks, runs

WAIT_LIMIT_S = 3600.0
"""How long a run waits for another one of its pipeline to publish."""

_LOOK_EVERY_S = 0.5
_SAY_EVERY_S = 30.0
_GONE = "its processes are gone"
_ENDED = frozenset({RunStatus.COMPLETED, RunStatus.ABANDONED})


@dataclass(frozen=True)
class _Holder:
    """The run that is in the section, how it stands, and what shows that it is at work."""

    run_id: str
    number: int
    status: str
    signs: tuple[str, ...]

    @property
    def is_over(self) -> bool:
        return self.status != RunStatus.RUNNING


def enter_section(
    landscape: Landscape,
    attempt: Attempt,
    *,
    partition: str | None = None,
    say: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
    limit_s: float = WAIT_LIMIT_S,
    orphaned_s: Callable[[str], float] = lambda _run_id: 0.0,
) -> None:
    """Lets a run publish, once no other run of its pipeline is at it.

    The first publish of a run enters, and completing or abandoning the run leaves. Entering again does
    nothing.

    Args:
        landscape: The landscape.
        attempt: The attempt that is about to publish.
        partition: The run's partition, where no other one writes what it writes; runs of others go on then.
        say: Takes a line for people while it waits.
        pause: Waits for so many seconds.
        limit_s: How long it waits for a run that is at work.
        orphaned_s: How long it waits for a run to be continued whose processes are gone.

    Raises:
        SectionHeldError: A run that is not at work any more left the section in the middle.
        SectionBusyError: Another run is at work and does not finish.
        FenceLostError: A newer attempt holds the run.
    """
    waited_s = said_s = orphan_s = 0.0
    while True:
        holder = _try_to_enter(landscape, attempt, _name(attempt, partition))
        if holder is None:
            return
        orphan_s = 0.0 if holder.signs else orphan_s
        within_s = 0.0 if holder.signs or holder.is_over else orphaned_s(holder.run_id)
        if not holder.signs and orphan_s >= within_s:
            standing = f"it is {holder.status}" if holder.is_over else _GONE
            raise SectionHeldError(
                attempt.pipeline, attempt.run_id, holder.run_id, standing, awaited=orphan_s > 0
            )
        if waited_s >= limit_s:
            signs = holder.signs or (_GONE,)
            raise SectionBusyError(attempt.pipeline, attempt.run_id, holder.run_id, signs, waited_s)
        if waited_s == 0 or waited_s - said_s >= _SAY_EVERY_S:
            said_s = waited_s
            say(
                f"waiting to publish: run {holder.run_id} of this pipeline is publishing "
                f"(attempt {holder.number} {'; '.join(holder.signs)})"
                if holder.signs
                else f"waiting to publish: run {holder.run_id} of this pipeline has begun to, and {_GONE}; "
                f"Dagster's daemon is to continue it within {within_s - orphan_s:.0f} s"
            )
        pause(_LOOK_EVERY_S)
        waited_s += _LOOK_EVERY_S
        orphan_s += _LOOK_EVERY_S


def leave_section(connection: Connection, run_id: str) -> None:
    """Frees the section that a run is in, if it is in one, as part of the transaction that ends the run."""
    connection.execute(delete(ops_locks).where(ops_locks.c.run_id == run_id))


def _name(attempt: Attempt, partition: str | None) -> str:
    whole = f"publishing {attempt.pipeline}"
    return whole if partition is None else f"{whole} {partition}"


def _try_to_enter(landscape: Landscape, attempt: Attempt, name: str) -> _Holder | None:
    """Enters and gives None, or gives who is inside."""

    def enter(connection: Connection) -> _Holder | None:
        check_fence(connection, attempt, CommitKey(Phase.SINK, "section", 0), lock=True)
        return _enter_or_look(connection, attempt, name)

    while True:
        try:
            return landscape.insist(enter)
        except IntegrityError:
            # Another run entered between the look and the insert: look again.
            continue


def _enter_or_look(connection: Connection, attempt: Attempt, name: str) -> _Holder | None:
    query = select(ops_locks.c.run_id, ops_locks.c.attempt, runs.c.status, runs.c.fence)
    joined = ops_locks.outerjoin(runs, ops_locks.c.run_id == runs.c.run_id)
    held = connection.execute(query.select_from(joined).where(ops_locks.c.name == name)).one_or_none()
    mine = {"run_id": attempt.run_id, "attempt": attempt.number}
    if held is None:
        connection.execute(insert(ops_locks).values(name=name, **mine, taken_at=datetime.now(UTC)))
        return None
    if held.run_id == attempt.run_id or held.status is None or held.status in _ENDED:
        connection.execute(update(ops_locks).where(ops_locks.c.name == name).values(**mine))
        return None
    return _holder(connection, held)


def _holder(connection: Connection, held: Any) -> _Holder:
    running = held.status == RunStatus.RUNNING
    signs = signs_of_life(connection, held.run_id, held.fence, force=False) if running else []
    return _Holder(held.run_id, held.attempt, held.status, tuple(signs))
