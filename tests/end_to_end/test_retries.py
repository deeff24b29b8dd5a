"""Calls that fail for a while: tried again, every try recorded, and set aside when nothing helps."""

import json
import os
import re
import signal
from typing import Any

import pytest
from platforms import BIN, DEADLINE_S, Platform, kill, wait_for

# What calls an outside service answers differently from call to call, so the plugins count calls in a file.
SERVICE = '''
import os
import re
from pathlib import Path


def call(key, failing, error):
    """Fails so many times for a key."""
    calls = Path(os.environ["ELSPETH_ROOT"]) / "calls" / str(key)
    calls.parent.mkdir(exist_ok=True)
    made = len(calls.read_text()) if calls.exists() else 0
    calls.write_text("x" * (made + 1))
    if made < failing:
        raise error
'''
ROWS = (
    SERVICE
    + """
from elspeth_dagster.plugins import RowTransform, TransientError


class Enrich(RowTransform):
    def process(self, row):
        failing = int(row["failing"])
        row["failing"] = "touched"
        call(row["id"], failing, TransientError(f"try {row['id']} later"))
        return {"id": row["id"]}
"""
)
BATCHES = (
    SERVICE
    + """
from elspeth_dagster.plugins import BatchResult, BatchTransform


class Report(BatchTransform):
    def process(self, frame):
        ids = "-".join(frame["id"])
        call(ids, {"0-1": 1, "2-4": 9}.get(ids, 0), ConnectionError(f"no line for {ids}"))
        return BatchResult(frame.assign(report=ids)[["id", "report"]].head(1))
"""
)


def settings(platform: Platform, **retry: Any) -> Any:
    platform.write("in.csv", "id,failing\n0,0\n1,1\n2,2\n3,9\n4,0\n")
    platform.plugin("enrich", ROWS)
    platform.plugin("report", BATCHES)
    return platform.pipeline("calls", {
        "source": {"plugin": "csv", "on_success": "read",
                   "options": {"path": "in.csv", "on_validation_failure": "discard",
                               "schema": {"mode": "observed"}}},
        "transforms": [{"name": "enrich", "plugin": "enrich", "input": "read", "on_success": "enriched",
                        "on_error": "lost"}],
        "aggregations": [{"name": "report", "plugin": "report", "input": "enriched", "on_success": "out",
                          "on_error": "lost", "trigger": {"count": 2}}],
        "sinks": {"out": {"plugin": "json", "options": {"path": "output/out.jsonl"}},
                  "lost": {"plugin": "json", "options": {"path": "output/lost.jsonl"}}},
        "retry": {"initial_delay_seconds": 0.01, "max_delay_seconds": 0.1, **retry},
    })  # fmt: skip


def lines(platform: Platform, name: str) -> list[Any]:
    return [json.loads(line) for line in platform.read(name).splitlines()]


def test_rows_and_batches_are_tried_again_and_those_that_nothing_helps_are_set_aside(
    platform: Platform,
) -> None:
    facts = platform.completed(settings(platform, max_attempts=3))

    assert lines(platform, "output/out.jsonl") == [{"id": "0", "report": "0-1"}]
    assert lines(platform, "output/lost.jsonl") == [{"id": "2"}, {"id": "3", "failing": "9"}, {"id": "4"}]
    assert facts["outcomes"] == {"completed": 1, "consumed_in_batch": 2, "quarantined": 3}
    assert platform.outcomes(facts["run_id"]) == facts["outcomes"]
    assert (facts["rows_in"], facts["succeeded"], facts["quarantined"]) == (5, 1, 3)

    tries = platform.sql(
        """SELECT node, "row", "try", status, label FROM states
           WHERE status = 'failed' OR "try" > 1 ORDER BY node, "row", "try\""""
    )
    assert [tuple(state.values()) for state in tries] == [
        ("enrich", 1, 1, "failed", None),
        ("enrich", 1, 2, "completed", "on_success"),
        ("enrich", 2, 1, "failed", None),
        ("enrich", 2, 2, "failed", None),
        ("enrich", 2, 3, "completed", "on_success"),
        ("enrich", 3, 1, "failed", None),
        ("enrich", 3, 2, "failed", None),
        ("enrich", 3, 3, "failed", "on_error"),
        ("report", 0, 1, "failed", None),
        ("report", 0, 2, "completed", None),
        ("report", 1, 1, "failed", None),
        ("report", 1, 2, "completed", None),
        ("report", 2, 1, "failed", None),
        ("report", 2, 2, "failed", None),
        ("report", 2, 3, "failed", "on_error"),
        ("report", 4, 1, "failed", None),
        ("report", 4, 2, "failed", None),
        ("report", 4, 3, "failed", "on_error"),
    ]
    kinds = platform.sql("SELECT kind, count(*) AS n FROM errors GROUP BY kind ORDER BY kind")
    assert kinds == [{"kind": "aggregation", "n": 2}, {"kind": "transform", "n": 1}, {"kind": "try", "n": 11}]


def test_explain_tells_every_try_with_its_error(platform: Platform) -> None:
    run_id = platform.completed(settings(platform, max_attempts=3))["run_id"]

    (token,) = platform.elspeth("explain", run_id, "3", "--json").json["tokens"]
    later = "TransientError: try 3 later"
    spent = {"reason": "retries_exhausted", "tries": 3, "error": later}
    assert [(s["try"], s["status"], s["error"]) for s in token["states"] if s["node"] == "enrich"] == [
        (1, "failed", {"reason": "try_failed", "try": 1, "error": later}),
        (2, "failed", {"reason": "try_failed", "try": 2, "error": later}),
        (3, "failed", spent),
    ]
    uri = str(platform.path("output/lost.jsonl"))
    assert token["outcome"] == {"outcome": "quarantined", "sink": "lost", "reason": spent, "uri": uri}

    shown = platform.elspeth("explain", run_id, "2").out
    for told in ("enrich .* try 2 failed", "enrich .* try 3 completed", "report .* try 3 failed in batch 1"):
        assert re.search(told, shown)
    assert 'because reason: "batch_failed", batch: {"tries": 3, ' in shown


def test_a_bug_behind_a_failed_try_stops_the_run_and_resume_tries_afresh(platform: Platform) -> None:
    path = settings(platform)
    platform.plugin(
        "enrich", ROWS.replace('        return {"id"', '        1 / (row["id"] != "2")\n        return {"id"')
    )
    stopped = platform.run(path)
    assert stopped.code == 1
    assert stopped.json["error"]["exception"] == "ZeroDivisionError: division by zero"
    assert platform.sql("SELECT * FROM states") == []

    platform.plugin("enrich", ROWS)
    resumed = platform.resume(stopped.json["run_id"])
    assert resumed.code == 0, resumed.err
    assert resumed.json["outcomes"] == {"completed": 1, "consumed_in_batch": 2, "quarantined": 3}


@pytest.mark.dagster_process
def test_an_interrupt_ends_the_wait_for_the_next_try(platform: Platform) -> None:
    path = settings(platform, initial_delay_seconds=10 * DEADLINE_S, max_delay_seconds=10 * DEADLINE_S)
    process = platform.start(BIN / "elspeth", "run", path)
    try:
        wait_for(platform.path("calls/1").exists, "the first try that fails")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=DEADLINE_S) == 3
    finally:
        kill(process)
    (run,) = platform.runs()
    assert run["status"] == "interrupted"
