"""Dagster keeps what errors say, of a whole chain of them: no secret is in it."""

from typing import Any

import dagster as dg
import pytest
from dagster._serdes import serialize_value
from platforms import Platform

SECRET = "tok-51c3-and-more"
PLUGIN = """
from elspeth_dagster.plugins import RowTransform


class Priced(RowTransform):
    \"\"\"Asks somebody.\"\"\"

    def process(self, row):
        raise {error}("GET https://prices/?key={secret}")
"""
SETTINGS: dict[str, Any] = {
    "source": {"plugin": "csv", "on_success": "rows",
               "options": {"path": "in.csv", "on_validation_failure": "discard"}},
    "transforms": [{"name": "priced", "plugin": "priced", "input": "rows", "on_success": "out",
                    "on_error": "discard", "options": {}}],
    "sinks": {"out": {"plugin": "csv", "options": {"path": "output/${PRICES_TOKEN}.csv"}}},
}  # fmt: skip


@pytest.mark.parametrize("error", ["RuntimeError", "MemoryError"])
def test_a_secret_that_a_plugin_says(platform: Platform, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    monkeypatch.setenv("PRICES_TOKEN", SECRET)
    platform.write("in.csv", "id\n1\n")
    platform.plugin("priced", PLUGIN.format(error=error, secret=SECRET))
    answer = platform.run(platform.pipeline("prices", SETTINGS))
    assert answer.code == 1
    assert SECRET not in answer.err + answer.out
    assert "https://prices/?key=***" in answer.err
    (run,) = platform.runs()
    assert SECRET not in str(run)
    with dg.DagsterInstance.get() as instance:
        (dagster_run,) = instance.get_runs()
        events = [serialize_value(entry) for entry in instance.all_logs(dagster_run.run_id)]
    assert events
    assert not [event for event in events if SECRET in event]
    assert any("in process" in event and "key=***" in event for event in events), "the traceback is kept"


def test_a_secret_in_what_a_plugin_could_not_do_after_all(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that may pass is tried again, and then a reason on record."""
    monkeypatch.setenv("PRICES_TOKEN", SECRET)
    platform.write("in.csv", "id\n1\n")
    platform.plugin("priced", PLUGIN.format(error="TimeoutError", secret=SECRET))
    run_id = platform.completed(platform.pipeline("prices", SETTINGS))["run_id"]
    told = platform.elspeth("explain", run_id, "0", "--json").out
    assert "https://prices/?key=***" in told
    assert SECRET not in told
