"""What Dagster's daemon does about a run that ended by itself, where its home says so."""

import time

import dagster as dg

from elspeth_dagster.engine.errors import ChecksFailedError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import SectionHeldError
from elspeth_dagster.orchestration.names import WORKER_TAG
from elspeth_dagster.orchestration.replaced import ReplacedError
from elspeth_dagster.orchestration.superseded import SupersededError
from elspeth_dagster.plugins.compile import Compiled
from elspeth_dagster.plugins.sources.errors import SourceChangedError, SourceShortenedError

_STEP_FAILURES_TAG = "dagster/retry_on_asset_or_op_failure"
_FOR_PEOPLE = (ChecksFailedError, ReplacedError, SupersededError, SourceChangedError, SourceShortenedError)
# Until a continuation is asked for, has a place, and its process is there.
_STARTING_S = 120.0
_NEEDED = ("MONITORING", "EVENT_LOG_CONSUMER")
_SILENT_S = 180.0


def continued_within_s(instance: dg.DagsterInstance, landscape: Landscape, run_id: str) -> float:
    """How long the daemon may take to continue a run whose processes are gone; 0 where it will not.

    Args:
        instance: The Dagster instance.
        landscape: The landscape.
        run_id: The run.
    """
    if not (instance.run_monitoring_enabled and instance.run_retries_enabled and _is_there(instance)):
        return 0.0
    run = instance.get_run_by_id(reads.attempts(landscape, run_id)[-1].dagster_run_id)
    if run is None or run.remote_job_origin is None:
        return 0.0
    # Only of what our launcher started it finds out that the process is gone.
    retried = run.tags.get("dagster/will_retry") == "true" if run.is_finished else WORKER_TAG in run.tags
    return instance.run_monitoring_poll_interval_seconds + _STARTING_S if retried else 0.0


def _is_there(instance: dg.DagsterInstance) -> bool:
    """Whether the daemon has been heard of lately."""
    beats = instance.get_daemon_heartbeats()
    return all(name in beats and time.time() - beats[name].timestamp < _SILENT_S for name in _NEEDED)


def note(context: dg.OpExecutionContext, compiled: Compiled, error: BaseException) -> None:
    """Tells the daemon whether to re-execute the run of a step that failed, where the error says it.

    What only people can mend is not tried again. A run that waited for another one to be continued, which
    was queued behind those that waited, is tried again once they have made room. What a run was told has
    no say over those that re-execute it, which bear its tags.
    """
    instance, run = context.instance, context.run
    usual = (
        compiled.settings.dagster.max_retries is not None or instance.run_retries_retry_on_asset_or_op_failure
    )
    if isinstance(error, _FOR_PEOPLE):
        wanted = "false"
    elif isinstance(error, SectionHeldError) and error.awaited:
        wanted = "true"
    elif _is_copied(instance, run):
        wanted = str(usual).lower()
    else:
        return
    instance.add_run_tags(run.run_id, {_STEP_FAILURES_TAG: wanted})


def _is_copied(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    told = run.tags.get(_STEP_FAILURES_TAG)
    return parent is not None and told is not None and parent.tags.get(_STEP_FAILURES_TAG) == told
