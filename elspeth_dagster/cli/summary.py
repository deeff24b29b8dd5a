"""What the commands say of runs, as JSON-ready facts from the catalogue."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from elspeth_dagster.accounting import counts_of_run, counts_of_stored, discarded_of_run
from elspeth_dagster.engine.errors import without_ways_on
from elspeth_dagster.engine.finish import latest_verdict
from elspeth_dagster.engine.load import END_OF_SOURCE
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import DamagedRecordError
from elspeth_dagster.landscape.model import RunStatus
from elspeth_dagster.landscape.reads import AttemptRow, RunRow
from elspeth_dagster.landscape.set_aside import set_aside

_REASONS = 5


def of_run(landscape: Landscape, run_id: str) -> dict[str, Any]:
    """A run with its counts, sinks, times and why rows were set aside, as far as they are known."""
    return _facts(landscape, reads.run(landscape, run_id)) | {"set_aside": _set_aside(landscape, run_id)}


def of_runs(
    landscape: Landscape, *, limit: int, pipeline: str | None, partition: str | None
) -> list[dict[str, Any]]:
    """The latest runs, newest first."""
    found = reads.runs(landscape, limit=limit, pipeline=pipeline, partition=partition)
    return [_facts(landscape, run) for run in found]


def _facts(landscape: Landscape, run: RunRow) -> dict[str, Any]:
    attempts = reads.attempts(landscape, run.run_id)
    counts = _counts(landscape, run)
    latest = attempts[-1]
    facts: dict[str, Any] = {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "status": run.status.value,
        "attempts": len(attempts),
        "rows_in": counts.rows_in,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "quarantined": counts.quarantined,
        "outcomes": dict(counts.outcomes),
        "sinks": {
            a.sink: {"rows": a.rows, "uri": a.uri, "sha256": a.sha256, "size_bytes": a.size_bytes}
            for a in reads.artifacts(landscape, run.run_id)
        },
        "landscape": landscape.location.display,
        "seconds": _seconds(latest),
        "started_at": run.created_at.isoformat(),
        "partition": run.partition,
        "source_path": run.source_path,
    }
    verdict = latest_verdict(landscape, run.run_id)
    if verdict is not None:
        facts |= {name: value for name, value in verdict.facts().items() if name != "rows"}
    if latest.error is not None and run.status is not RunStatus.COMPLETED:
        facts["error"] = _error(run, latest.error)
    return facts


def _error(run: RunRow, error: dict[str, Any]) -> dict[str, Any]:
    """What stopped a run; how to go on is left out where it cannot."""
    if run.status is not RunStatus.ABANDONED:
        return error
    return error | {"message": without_ways_on(error["message"])}


def _set_aside(landscape: Landscape, run_id: str) -> dict[str, Any]:
    try:
        found = set_aside(landscape, run_id, most=_REASONS)
    except DamagedRecordError as error:
        # How the run ended is known all the same.
        why: dict[str, Any] = {"unknown": str(error)}
    else:
        why = asdict(found)
    return why | {"discarded": discarded_of_run(reads.tallies(landscape, run_id))}


def _counts(landscape: Landscape, run: RunRow) -> Any:
    if run.counts is not None:
        return counts_of_stored(run.counts)
    marker = reads.marker(landscape, run.run_id, END_OF_SOURCE)
    last = reads.last_chunk(landscape, run.run_id, 0)
    records = marker["rows"] if marker else last.first_record + last.records if last else 0
    return counts_of_run(reads.tallies(landscape, run.run_id), records=records)


def _seconds(attempt: AttemptRow) -> float:
    """From the opening of the latest attempt to its close."""
    end = attempt.ended_at or datetime.now(UTC)
    return round((end - attempt.started_at).total_seconds(), 3)
