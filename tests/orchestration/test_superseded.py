"""Two contents of one file at once: the newer one's output stays."""

from typing import Any

import dagster as dg
import pytest
from platform_jobs import launch
from platforms import Platform
from test_starts import ARRIVING, change, requested, sensor_tick


@pytest.fixture
def instance(platform: Platform) -> Any:
    with dg.DagsterInstance.get() as found:
        yield found


ALSO_ONE_FILE_FOR_ALL = change(
    change(ARRIVING, "source.options.on_validation_failure", "rejects"),
    "sinks.rejects",
    {"plugin": "csv", "options": {"path": "output/rejects.csv", "mode": "append"}},
)


@pytest.mark.parametrize("arriving", [ARRIVING, ALSO_ONE_FILE_FOR_ALL], ids=["apart", "also one for all"])
def test_an_older_content_does_not_replace_a_newer_one(
    platform: Platform, instance: Any, arriving: dict[str, Any]
) -> None:
    settings = platform.pipeline("arriving", change(arriving, "dagster.checks", {"min_rows": 2}))
    platform.write("in/a.csv", "id\n1\n")
    older = sensor_tick(instance)
    assert not launch("arriving", instance, **requested(older.run_requests[0])).success
    assert platform.outputs() == {}
    platform.write("in/a.csv", "id\n2\n3\n")
    (newer,) = sensor_tick(instance, older.cursor).run_requests
    assert launch("arriving", instance, **requested(newer)).success
    kept = platform.outputs()
    assert kept["a.csv/out.csv"] == b"id\r\n2\r\n3\r\n"

    platform.pipeline("arriving", change(arriving, "dagster.checks", {"min_rows": 1}))
    later, first = (run["run_id"] for run in platform.runs())
    answer = platform.resume(first)
    assert answer.code == 1
    assert f"run {later} has published what came of that" in answer.err
    assert f"elspeth abandon {first}" in answer.err
    assert platform.outputs() == kept
    assert platform.elspeth("abandon", first).code == 0
    again = platform.run(settings, "--partition", "a.csv")
    assert again.code == 0, again.err


def test_a_file_that_is_replaced_while_its_run_is_queued_is_read_once(
    platform: Platform, instance: Any
) -> None:
    platform.pipeline("arriving", change(ARRIVING, "sinks.out.options.mode", "append"))
    platform.write("in/a.csv", "id\n1\n")
    first = sensor_tick(instance)
    platform.write("in/a.csv", "id\n2\n")
    (second,) = sensor_tick(instance, first.cursor).run_requests
    result = launch("arriving", instance, **requested(first.run_requests[0]))
    assert not result.success
    failure = result.get_step_failure_events()[0].step_failure_data.user_failure_data
    assert failure is not None
    assert "in/a.csv has changed since this run was asked for, and nothing was read" in str(
        failure.description
    )
    assert platform.outputs() == {}
    assert launch("arriving", instance, **requested(second)).success
    kept = {"a.csv/out.csv": b"id\r\n2\r\n"}
    assert platform.outputs() == kept
    (run,) = [run["run_id"] for run in platform.runs() if run["status"] == "failed"]
    assert platform.resume(run).code == 1, "still another content"
    assert platform.outputs() == kept


def test_a_run_whose_file_was_gone_does_not_read_what_came_after_it(
    platform: Platform, instance: Any
) -> None:
    platform.pipeline("arriving", change(ARRIVING, "sinks.out.options.mode", "append"))
    path = platform.write("in/a.csv", "id\n1\n")
    first = sensor_tick(instance)
    path.unlink()
    assert not launch("arriving", instance, **requested(first.run_requests[0])).success
    platform.write("in/a.csv", "id\n2\n")
    (second,) = sensor_tick(instance, first.cursor).run_requests
    (run,) = platform.runs()
    answer = platform.resume(run["run_id"])
    assert answer.code == 1
    assert "in/a.csv has changed since this run was asked for, and nothing was read" in answer.err
    assert launch("arriving", instance, **requested(second)).success
    assert platform.outputs() == {"a.csv/out.csv": b"id\r\n2\r\n"}


def test_a_run_that_has_read_an_older_content_goes_on_with_it(platform: Platform, instance: Any) -> None:
    platform.pipeline("arriving", change(ARRIVING, "dagster.checks", {"min_rows": 2}))
    platform.write("in/a.csv", "id\n1\n")
    (request,) = sensor_tick(instance).run_requests
    assert not launch("arriving", instance, **requested(request)).success
    platform.write("in/a.csv", "id\n2\n")
    platform.pipeline("arriving", ARRIVING)
    (run,) = platform.runs()
    assert platform.resume(run["run_id"]).code == 0
    assert platform.outputs() == {"a.csv/out.csv": b"id\r\n1\r\n"}
