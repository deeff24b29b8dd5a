"""Steps that Dagster tries again: the attempt stays open meanwhile, and the catalogue says until when."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import dagster as dg

from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.model import Attempt
from elspeth_dagster.landscape.processes import wait_until


def asked_for(context: dg.OpExecutionContext, error: BaseException) -> dg.RetryRequested | None:
    """Dagster's signal to try a step again later, where an error is one or its job has it so.

    A plugin that raises `RetryRequested` is behind the error that names node and row. A retry policy counts
    for what may pass by itself, and for errors of which that is not known.

    Returns:
        The signal; `None` when the error is final, or the step was tried often enough.
    """
    step = context.get_step_execution_context()
    signal = _behind(error)
    if signal is not None:
        # One of its own: it is raised from the error, which has the plugin's among its causes.
        signal = dg.RetryRequested(signal.max_retries, signal.seconds_to_wait)
    elif step.op_retry_policy and getattr(error, "retryable", isinstance(error, Exception)):
        policy = step.op_retry_policy
        signal = dg.RetryRequested(policy.max_retries, policy.calculate_delay(context.retry_number + 1))
    spent = signal is not None and context.retry_number >= signal.max_retries
    return None if spent or step.retry_mode.disabled else signal


def _behind(error: BaseException | None) -> dg.RetryRequested | None:
    """The signal among an error and its causes."""
    while error is not None and not isinstance(error, dg.RetryRequested):
        error = error.__cause__
    return error


@contextmanager
def noted(context: dg.OpExecutionContext, landscape: Landscape, attempt: Attempt) -> Iterator[None]:
    """Has the catalogue say of a step that is to be tried again until when it waits, as long as it does."""
    step = context.op_handle.name
    if context.retry_number:
        wait_until(landscape, attempt, step=step, until=None)
    try:
        yield
    except dg.RetryRequested as signal:
        back = datetime.now(UTC) + timedelta(seconds=float(signal.seconds_to_wait or 0))
        wait_until(landscape, attempt, step=step, until=back)
        raise
