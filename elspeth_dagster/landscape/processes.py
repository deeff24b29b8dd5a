"""Processes at work for an attempt: who they are, whether they live, when they last said so."""

import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import LandscapeError, RunAliveError
from elspeth_dagster.landscape.model import Attempt, AttemptStatus
from elspeth_dagster.landscape.schema import attempts, ops_heartbeats, ops_processes, ops_waiting, runs

HEARTBEAT_LIMIT_S = 60
"""A heartbeat older than this, from another host, may be taken for death, if the user says so."""

HEARTBEAT_EVERY_S = 10.0

_GONE = frozenset("ZX")


class Liveness(StrEnum):
    """Whether a process lives, as far as this host can tell."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Process:
    """A process, told apart from any later one with the same number.

    Attributes:
        host: Name of its host.
        pid: Its number there.
        started: When it started, in the host's own terms; only ever compared for equality.
        boot_id: Which boot of the host it belongs to, in which space of process numbers (a container may have
            its own), and of which machine (two may have one name); empty where hosts do not tell.
    """

    host: str
    pid: int
    started: str
    boot_id: str


@dataclass(frozen=True)
class ProcessState:
    """A registered process as it is now.

    Attributes:
        process: The process.
        liveness: Whether it lives; unknown on other hosts.
        heartbeat_age_s: Seconds since it last said so; since it registered, if it never did.
    """

    process: Process
    liveness: Liveness
    heartbeat_age_s: float

    def __str__(self) -> str:
        return (
            f"on {self.process.host}, process {self.process.pid}, heartbeat {self.heartbeat_age_s:.0f} s ago"
        )


def identify(pid: int | None = None) -> Process | None:
    """The identity of a process of this host, by default of this one; None if there is no such process."""
    number = os.getpid() if pid is None else pid
    started = _started(number)
    return None if started is None else Process(socket.gethostname(), number, started, _boot_id())


def state_of(process: Process) -> Liveness:
    """Whether a process lives. A zombie does not; one of another container or machine is not seen."""
    if process.host != socket.gethostname():
        return Liveness.UNKNOWN
    boot, space, machine = _split(process.boot_id)
    boot_here, space_here, machine_here = _split(_boot_id())
    if machine and machine_here and machine != machine_here:
        return Liveness.UNKNOWN
    if boot == boot_here and space != space_here:
        return Liveness.UNKNOWN
    alive = boot == boot_here and _started(process.pid) == process.started
    return Liveness.ALIVE if alive else Liveness.DEAD


def liveness(landscape: Landscape, run_id: str) -> list[ProcessState]:
    """Every process that registered for the run's latest attempt, as it is now."""

    def look(connection: Connection) -> list[ProcessState]:
        number = connection.execute(select(runs.c.fence).where(runs.c.run_id == run_id)).scalar_one_or_none()
        return [] if number is None else process_states(connection, run_id, number)

    return landscape.ask(look)


def process_states(connection: Connection, run_id: str, number: int) -> list[ProcessState]:
    """Every process that registered for an attempt, as it is now."""
    p, beats = ops_processes.c, ops_heartbeats.c
    joined = ops_processes.outerjoin(
        ops_heartbeats,
        (beats.run_id == p.run_id)
        & (beats.attempt == p.attempt)
        & (beats.host == p.host)
        & (beats.pid == p.pid),
    )
    query = (
        select(ops_processes, beats.beat_at)
        .select_from(joined)
        .where(p.run_id == run_id, p.attempt == number)
    )
    now = datetime.now(UTC)
    states = []
    for row in connection.execute(query):
        process = Process(row.host, row.pid, row.process_started, row.boot_id)
        age = (now - (row.beat_at or row.registered_at)).total_seconds()
        states.append(ProcessState(process, state_of(process), max(age, 0.0)))
    return states


def signs_of_life(connection: Connection, run_id: str, number: int, *, force: bool) -> list[str]:
    """Why an attempt cannot be taken for dead, as facts for people; empty if it can.

    Args:
        connection: A transaction.
        run_id: The run.
        number: The attempt.
        force: Whether processes of other hosts may be given up when their heartbeats are too old, and steps
            that wait to be tried again.
    """
    facts = []
    for state in process_states(connection, run_id, number):
        given_up = force and state.heartbeat_age_s > HEARTBEAT_LIMIT_S
        if state.liveness is Liveness.ALIVE or (state.liveness is Liveness.UNKNOWN and not given_up):
            facts.append(str(state))
    waiting = select(ops_waiting).where(ops_waiting.c.run_id == run_id, ops_waiting.c.attempt == number)
    back_since = datetime.now(UTC) - timedelta(seconds=HEARTBEAT_LIMIT_S)
    facts += [
        f"with step {row.step} waiting until {row.until:%H:%M:%S} UTC to be tried again"
        for row in connection.execute(waiting)
        if row.until > back_since and not force
    ]
    return facts


def require_dead(
    connection: Connection, run_id: str, dagster_finished: Callable[[str], bool | None], *, force: bool
) -> None:
    """Makes sure that nobody works on a run.

    The first step that fails ends the attempt, and Dagster lets others of the same run go on.

    Args:
        connection: A transaction.
        run_id: The run, which exists.
        dagster_finished: Tells whether a Dagster run is over; None when Dagster does not know it.
        force: Whether the user takes old heartbeats of other hosts for death.

    Raises:
        RunAliveError: Its latest attempt is, or may be, at work.
    """
    held = (attempts.c.run_id == runs.c.run_id) & (attempts.c.number == runs.c.fence)
    query = select(attempts.c.number, attempts.c.status, attempts.c.dagster_run_id).join_from(
        attempts, runs, held
    )
    latest = connection.execute(query.where(runs.c.run_id == run_id)).one()
    over = dagster_finished(latest.dagster_run_id)
    if over or (over is None and latest.status != AttemptStatus.RUNNING):
        return
    facts = signs_of_life(connection, run_id, latest.number, force=force)
    if facts:
        raise RunAliveError(run_id, latest.number, latest.dagster_run_id, facts)


def register(connection: Connection, run_id: str, number: int, process: Process) -> None:
    """Notes that a process works for an attempt, if that is not noted yet."""
    key = {
        "run_id": run_id,
        "attempt": number,
        "host": process.host,
        "pid": process.pid,
        "process_started": process.started,
    }
    known = select(ops_processes.c.pid).where(
        *(ops_processes.c[name] == value for name, value in key.items())
    )
    if connection.execute(known).one_or_none() is None:
        values = {**key, "boot_id": process.boot_id, "registered_at": datetime.now(UTC)}
        connection.execute(insert(ops_processes).values(**values))


def beat(landscape: Landscape, attempt: Attempt) -> None:
    """Says that this process lives."""
    key = {
        "run_id": attempt.run_id,
        "attempt": attempt.number,
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    here = [ops_heartbeats.c[name] == value for name, value in key.items()]
    now = datetime.now(UTC)
    with landscape.transaction() as connection:
        if not connection.execute(update(ops_heartbeats).where(*here).values(beat_at=now)).rowcount:
            connection.execute(insert(ops_heartbeats).values(**key, beat_at=now))


@contextmanager
def beating(landscape: Landscape, attempt: Attempt, every_s: float = HEARTBEAT_EVERY_S) -> Iterator[None]:
    """Says now and then that this process lives, until the block ends."""
    stop = threading.Event()

    def keep_beating() -> None:
        while not stop.wait(every_s):
            try:
                beat(landscape, attempt)
            except (LandscapeError, IntegrityError):
                # The work itself finds out what is wrong with the record, and says it; and two containers of
                # one name may have said for the first time at once that they live. The next beat may succeed.
                continue

    thread = threading.Thread(target=keep_beating, name="elspeth-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def wait_until(landscape: Landscape, attempt: Attempt, *, step: str, until: datetime | None) -> None:
    """Notes that a step lets go of its process and comes back at a time; with None, that it came back."""
    key = {"run_id": attempt.run_id, "attempt": attempt.number, "step": step}

    def note(connection: Connection) -> None:
        connection.execute(
            delete(ops_waiting).where(*(ops_waiting.c[name] == value for name, value in key.items()))
        )
        if until is not None:
            connection.execute(insert(ops_waiting).values(**key, until=until))

    landscape.insist(note)


def _started(pid: int) -> str | None:
    """When a live process of this host started; None if it is gone."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return _started_by_ps(pid)
    try:
        # The name, in parentheses, may hold spaces and parentheses of its own.
        fields = stat.read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in _GONE else fields[19]


def _started_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words and a number
    status, _, started = result.stdout.strip().partition(" ")
    return None if not status or status[0] in _GONE else started.strip()


@cache
def _boot_id() -> str:
    path, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    boot = path.read_text().strip() if path.exists() else ""
    return f"{boot} {space.readlink() if space.is_symlink() else ''} {_machine()}".rstrip()


def _machine() -> str:
    """What tells this machine from others of its name; a hash, since the id is not for others to see."""
    try:
        own = Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""
    return hashlib.sha256(f"elspeth_dagster {own}".encode()).hexdigest()[:16] if own else ""


def _split(boot_id: str) -> tuple[str, str, str]:
    """Boot, space of process numbers, and machine; empty what is not told."""
    boot, space, machine, *_ = [*boot_id.split(" "), "", "", ""]
    return boot, space, machine
