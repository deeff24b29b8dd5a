"""The words of the record that several modules share: phases, statuses, the attempt."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

RECORD_FORMAT = "elspeth/1"

FAILED_TRY = "try"
"""The kind of the errors of tries of a call that another one followed."""


class Phase(IntEnum):
    """Phases of a run, in order. The numbers are stored and order the leaves of the record's proof."""

    DATABASE = 1
    GRAPH = 2
    SOURCE = 3
    PROCESS = 4
    SINK = 5
    DONE = 6
    EXPORT = 7


class RunStatus(StrEnum):
    """Status of a run: completed or abandoned for ever, or that of its latest attempt."""

    RUNNING = "running"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    ABANDONED = "abandoned"


class AttemptStatus(StrEnum):
    """Status of an attempt."""

    RUNNING = "running"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    SUPERSEDED = "superseded"
    COMPLETED = "completed"


class PhaseStatus(StrEnum):
    """What the phase log says of a phase."""

    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True)
class Attempt:
    """One Dagster run's share in a run, and the fence under which it commits.

    Attributes:
        run_id: The run.
        number: The attempt's number from 1, which is its fencing number.
        pipeline: The pipeline's name.
        dagster_run_id: The Dagster run.
        started_at: When the attempt was opened (UTC).
        run_created_at: When the run's first attempt was opened (UTC).
        status: The attempt's status; `COMPLETED` also for any attempt on a completed run.
        engine_version: Version of this package that opened the attempt.
        code_digest: Digest over the hashes of the plugins' source.
    """

    run_id: str
    number: int
    pipeline: str
    dagster_run_id: str
    started_at: datetime
    run_created_at: datetime
    status: AttemptStatus
    engine_version: str = ""
    code_digest: str = ""


def held_back_marker(attempt: int) -> str:
    """Name of the marker that an attempt leaves when checks hold its run back."""
    return f"held_back:{attempt}"
