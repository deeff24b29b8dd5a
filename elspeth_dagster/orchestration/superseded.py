"""A file that came again with other content: what came of the older one does not replace what came of it."""

import dagster as dg

from elspeth_dagster.engine.work import Work
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.model import RunStatus
from elspeth_dagster.orchestration.names import PARTITION_TAG, PIPELINE_TAG, arrival_of
from elspeth_dagster.plugins.partitioned import is_apart

_RUNS_LOOKED_AT = 25


class SupersededError(ElspethError):
    """What came of a later content of the file is published."""

    def __init__(self, pipeline: str, run_id: str, partition: str, later: str) -> None:
        self.pipeline = pipeline
        super().__init__(
            f"pipeline {pipeline!r}, run {run_id}: since this run began, {partition} came again with other "
            f"content, and run {later} has published what came of that. This run has published nothing: it "
            f"would put the older content back. Give it up: elspeth abandon {run_id}"
        )


def require_latest(context: dg.OpExecutionContext, work: Work) -> None:
    """Refuses to publish what came of a file's older content over what came of its newer one.

    Raises:
        SupersededError: A run of the same file that was asked for later is completed.
    """
    arrival, partition = arrival_of(context.run.tags), work.launch.partition
    sinks = work.compiled.settings.sinks.values()
    if arrival is None or partition is None or not any(map(is_apart, sinks)):
        return
    tags = {PARTITION_TAG: partition, PIPELINE_TAG: work.pipeline}
    for run in context.instance.get_runs(dg.RunsFilter(tags=tags), limit=_RUNS_LOOKED_AT):
        if (arrival_of(run.tags) or 0) <= arrival:
            continue
        later = reads.run_of_dagster_run(work.landscape, run.run_id, work.pipeline)
        if later and reads.run(work.landscape, later).status is RunStatus.COMPLETED:
            raise SupersededError(work.pipeline, work.run_id, partition, later)
