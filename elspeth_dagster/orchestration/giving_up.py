"""Abandoning a run, in the landscape and in what Dagster shows of it."""

from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.abandon import Abandoned, abandon_run
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.model import RunStatus
from elspeth_dagster.orchestration.attempt import finished
from elspeth_dagster.orchestration.home import dagster_instance
from elspeth_dagster.orchestration.platform import this_user


def abandon(landscape: Landscape, run_id: str, *, by: str | None, force: bool) -> Abandoned:
    """Gives a run up; a Dagster run of it that Dagster still takes for running is marked failed.

    Args:
        landscape: The landscape.
        run_id: The run.
        by: Who gives it up; by default this user on this host.
        force: Whether the user takes old heartbeats of other hosts for death.

    Raises:
        NoSuchRunError: There is no such run.
        RunAliveError: It is at work; nothing was changed.
    """
    with dagster_instance() as instance:
        who = by or this_user()
        done = abandon_run(landscape, run_id, by=who, dagster_finished=finished(instance), force=force)
        if done.status is RunStatus.ABANDONED:
            last = instance.get_run_by_id(reads.attempts(landscape, run_id)[-1].dagster_run_id)
            if last is not None and not last.is_finished:
                instance.report_run_failed(last, f"run {run_id} was abandoned by {who}")
    return done
