"""What can go wrong with the record, each error built from its culprits."""

import errno
from collections.abc import Sequence
from pathlib import Path

from elspeth_dagster.errors import ElspethError, UsageError

_MAY_PASS = frozenset(
    {errno.EAGAIN, errno.EBUSY, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT}
)


def may_pass(error: OSError) -> bool:
    """Whether what the system refused may succeed later without anyone changing anything."""
    return error.errno in _MAY_PASS


class LandscapeError(ElspethError):
    """Base of the landscape's errors."""


class StorageError(LandscapeError, OSError):
    """The system refused something with a file: no space, no permission, a failing disk."""

    def __init__(self, path: Path, doing: str, error: OSError) -> None:
        super().__init__(error.errno, error.strerror, str(path))
        self.path = path
        self.doing = doing
        self.retryable = may_pass(error)

    @property
    def what(self) -> str:
        """What was refused and why, without advice."""
        return f"{self.path} could not be {self.doing}: {self.strerror or self.__cause__}"

    def __str__(self) -> str:
        return f"{self.what}. What is committed is kept; mend it, then resume the run."


class NoPlaceError(StorageError):
    """The folder that a new landscape was to be in cannot be made."""

    def __str__(self) -> str:
        return (
            f"there is no landscape yet, and {self.what}. Nothing was begun; mend it, or name another place "
            "(--landscape, ELSPETH_LANDSCAPE)."
        )


class LocationError(LandscapeError, UsageError):
    """A landscape location that cannot be used as it is written."""

    def __init__(self, value: str, why: str) -> None:
        super().__init__(
            f"landscape location {value!r}: {why}. Give a folder, sqlite:///PATH, "
            "or postgresql://… together with a folder for segments."
        )
        self.value = value


class FileLocationError(LandscapeError, UsageError):
    """A file was named where a landscape's folder has to be."""

    def __init__(self, file: Path, folder: Path | None) -> None:
        hint = f"; did you mean {folder}?" if folder else ""
        super().__init__(f"{file}: a landscape is a folder, and this is a file{hint}")


class LandscapeMissingError(LandscapeError):
    """There is no landscape where one was to be read."""

    def __init__(self, display: str) -> None:
        super().__init__(f"there is no landscape at {display}: nothing has been run there yet")


class UnsafeFileSystemError(LandscapeError):
    """A SQLite catalogue would be where locks cannot be relied on."""

    def __init__(self, database: Path, mount: Path, kind: str, allowed_by: str) -> None:
        super().__init__(
            f"the catalogue {database} would be a SQLite file on {mount}, which is a network file system "
            f"({kind}): its locks cannot be relied on, and without them the record can be damaged. Put the "
            "landscape on a local disk (ELSPETH_LANDSCAPE, --landscape) or the catalogue in PostgreSQL. "
            f"If only one machine uses it and its locks work there, set {allowed_by}=allow. "
            "Nothing was written."
        )


class NewerLandscapeError(LandscapeError):
    """The catalogue was written by a later version of this package."""

    def __init__(self, display: str, found: str, known: str) -> None:
        super().__init__(
            f"the catalogue at {display} has schema version {found!r}; this version of elspeth_dagster "
            f"knows versions up to {known!r}. Use a newer elspeth_dagster; nothing was changed."
        )


class RecordFormatError(LandscapeError):
    """A run was recorded in a format that this version cannot continue."""

    def __init__(self, run_id: str, found: str, known: str) -> None:
        super().__init__(
            f"run {run_id} is recorded as {found!r} and this version of elspeth_dagster continues {known!r} "
            "only. Resume it with the version that began it, or start a new run."
        )


class CatalogueLostError(LandscapeError):
    """The catalogue's database could not be reached; what was committed stays committed.

    Attributes:
        what: Where it is and why it could not be reached, without advice.
    """

    retryable = True

    def __init__(self, display: str, doing: str, why: str) -> None:
        self.what = f"the catalogue at {display} could not be reached while {doing}: {why}"
        super().__init__(
            f"{self.what}. What was committed is safe. See to it that the database answers again, "
            "then resume the run: elspeth resume RUN (elspeth runs lists them)."
        )


class NoSuchRunError(LandscapeError):
    """A run id that the landscape does not hold."""

    def __init__(self, run_id: str, display: str, nearest: str | None = None) -> None:
        hint = f"did you mean {nearest}? " if nearest else ""
        super().__init__(
            f"there is no run {run_id!r} in the landscape at {display}; {hint}elspeth runs lists them"
        )
        self.run_id = run_id


class AmbiguousRunError(LandscapeError):
    """The beginning of several run ids."""

    def __init__(self, said: str, candidates: Sequence[str], *, more: bool) -> None:
        listed = ", ".join(candidates) + (", …" if more else "")
        super().__init__(f"several runs have an id that begins with {said!r}: {listed}; nothing was done")


class PipelineNamedError(LandscapeError):
    """A pipeline was named where one run of it has to be."""

    def __init__(self, pipeline: str, newest: str) -> None:
        super().__init__(
            f"{pipeline!r} is a pipeline; what changes a run takes the run's id, or the beginning of it, "
            f"since another run may have begun meanwhile. Its newest run is {newest}; nothing was changed"
        )


class WrongPipelineError(LandscapeError):
    """A run that was named for continuation belongs to another pipeline."""

    def __init__(self, run_id: str, found: str, wanted: str) -> None:
        super().__init__(
            f"run {run_id} is a run of pipeline {found!r}, so pipeline {wanted!r} cannot continue it"
        )


class AttemptRefusedError(LandscapeError):
    """Base of the reasons why no attempt was opened. Nothing was changed."""


class SupersededError(AttemptRefusedError):
    """This Dagster run's attempt was superseded by a newer one."""

    def __init__(self, run_id: str, number: int, newer: int, dagster_run_id: str) -> None:
        super().__init__(
            f"run {run_id}: attempt {number} (Dagster run {dagster_run_id}) was superseded by attempt "
            f"{newer}, which goes on with the work. This one may commit nothing more."
        )


class HeldByNewerError(AttemptRefusedError):
    """The Dagster run to be continued is not the one that holds the run any more."""

    def __init__(self, run_id: str, number: int, parent: str, newest: int, holder: str) -> None:
        super().__init__(
            f"run {run_id}: Dagster run {parent} was attempt {number}, but attempt {newest} "
            f"(Dagster run {holder}) holds the run now. Re-execute {holder} from failure, "
            f"or use: elspeth resume {run_id}"
        )


class RunAliveError(AttemptRefusedError):
    """The run's latest attempt is, or may be, still at work."""

    def __init__(self, run_id: str, number: int, dagster_run_id: str, facts: Sequence[str]) -> None:
        super().__init__(
            f"run {run_id}: attempt {number} is alive {'; '.join(facts)}. "
            f"Wait for it, or terminate Dagster run {dagster_run_id} first; nothing was killed or changed."
        )
        self.facts = tuple(facts)


class RunAbandonedError(AttemptRefusedError):
    """The run was given up and cannot be continued."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} was abandoned, so it cannot be continued; start a new run")


class SettingsChangedError(AttemptRefusedError):
    """The settings differ from those that the run began with in something that may not change."""

    def __init__(self, run_id: str, differences: Sequence[str]) -> None:
        listed = "\n".join(f"  {difference}" for difference in differences)
        super().__init__(
            f"run {run_id} began with other settings; it can only be continued with those:\n{listed}\n"
            "Restore them and resume, or start a new run."
        )
        self.differences = tuple(differences)


class FenceLostError(LandscapeError):
    """An attempt tried to commit after it had lost the right to."""

    def __init__(self, run_id: str, number: int, what: str, why: str) -> None:
        super().__init__(
            f"run {run_id}: attempt {number} may not commit {what}: {why}. Nothing was committed."
        )


class SectionHeldError(LandscapeError):
    """A run of the same pipeline stopped while it published.

    Attributes:
        holder: That run.
        awaited: Whether it was to be continued, and was waited for in vain.
    """

    def __init__(self, pipeline: str, run_id: str, holder: str, standing: str, *, awaited: bool) -> None:
        self.pipeline = pipeline
        super().__init__(
            f"pipeline {pipeline!r}, run {run_id}: run {holder} stopped while it published ({standing}), "
            "so some sinks may hold its rows already. Nothing of this run was published. Finish "
            f"that one with: elspeth resume {holder}, or give it up with: elspeth abandon {holder}. "
            f"Then resume this run: elspeth resume {run_id}"
        )
        self.holder = holder
        self.awaited = awaited


class SectionBusyError(LandscapeError):
    """A run of the same pipeline publishes and does not finish."""

    retryable = True

    def __init__(
        self, pipeline: str, run_id: str, holder: str, signs: Sequence[str], waited_s: float
    ) -> None:
        self.pipeline = pipeline
        super().__init__(
            f"pipeline {pipeline!r}, run {run_id}: run {holder} has been publishing for {waited_s:.0f} s "
            f"({'; '.join(signs)}). Nothing of this run was published; resume it when that one is done: "
            f"elspeth resume {run_id}"
        )
        self.holder = holder


class DeterminismError(LandscapeError):
    """The same piece of work gave another result than the one that is committed."""

    def __init__(self, run_id: str, what: str, committed: str, found: str) -> None:
        super().__init__(
            f"run {run_id}: {what} is committed with content digest {committed[:16]}…, and doing it again "
            f"gave {found[:16]}…. A plugin is not deterministic, or its code changed between the two. "
            "The committed result stands."
        )


class UnreadableLandscapeError(LandscapeError):
    """A database that is there but is not a catalogue of ours."""

    def __init__(self, display: str, why: str) -> None:
        super().__init__(f"the catalogue at {display} cannot be used: {why}")


class DamagedRecordError(LandscapeError):
    """A recorded file is not what was committed."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"the record is damaged: {path}: expected {expected}, found {found}. "
            "Restore the file from a backup; nothing that depends on it can go on."
        )
        self.path = path


class MissingChunkError(LandscapeError):
    """A chunk that was asked for is not committed."""

    def __init__(self, run_id: str, stage: int, ordinal: int) -> None:
        super().__init__(f"run {run_id}: chunk {ordinal} of stage {stage} is not committed")


class NotCompletedError(LandscapeError):
    """Something was asked for that only a run that has ended for good allows."""

    def __init__(self, run_id: str, status: str) -> None:
        super().__init__(f"run {run_id} is not completed but {status}; its parts are still needed")


class SourceFrozenError(LandscapeError):
    """A source cannot be read again from its start, since later work stands on what was read."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run {run_id}: what was read of the source is final, since later work stands on it. "
            "To read the source again, start a new run."
        )


class QueryError(LandscapeError):
    """A query that is refused or that the query engine could not run."""
