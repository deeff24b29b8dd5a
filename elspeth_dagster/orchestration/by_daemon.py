"""What Dagster's daemon does about a run that ended by itself, where its home says so."""

import dagster as dg

from elspeth_dagster.engine.errors import ChecksFailedError
from elspeth_dagster.landscape.errors import SectionHeldError
from elspeth_dagster.orchestration.replaced import ReplacedError
from elspeth_dagster.orchestration.superseded import SupersededError

_STEP_FAILURES_TAG = "dagster/retry_on_asset_or_op_failure"
# Until a continuation is asked for, has a place, and its process is there.
_STARTING_S = 120.0
_FOR_PEOPLE = (ChecksFailedError, ReplacedError, SupersededError)


def continued_within_s(instance: dg.DagsterInstance) -> float:
    """How long it takes the daemon to continue a run whose process is gone; 0 where it does not."""
    if not (instance.run_monitoring_enabled and instance.run_retries_enabled):
        return 0.0
    return instance.run_monitoring_poll_interval_seconds + _STARTING_S


def note(context: dg.OpExecutionContext, error: BaseException) -> None:
    """Tells the daemon whether to re-execute the run of a step that failed, where the error says it.

    What only people can mend is not tried again. A run that waited for another one to be continued, which
    was queued behind those that waited, is tried again once they have made room.
    """
    instance, run_id = context.instance, context.run_id
    if isinstance(error, _FOR_PEOPLE):
        instance.add_run_tags(run_id, {_STEP_FAILURES_TAG: "false"})
    elif isinstance(error, SectionHeldError) and not error.is_over and continued_within_s(instance):
        instance.add_run_tags(run_id, {_STEP_FAILURES_TAG: "true"})
