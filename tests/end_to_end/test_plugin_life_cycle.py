"""Plugins are opened once, closed exactly once, and never hide the error that came first."""

from typing import Any

import dagster as dg
import pytest
from brittle import dagster_run_ids
from diaries import NORMAL, diary, mend, write_pipeline
from platforms import Platform


def test_each_plugin_is_opened_and_closed_once_in_a_run_that_goes_well(platform: Platform) -> None:
    facts = platform.completed(write_pipeline(platform))

    assert diary(platform) == NORMAL
    assert facts["succeeded"] == 4


@pytest.mark.parametrize(
    ("breaks", "happens"),
    [
        ({"source": ("open",)}, ["source open", "source close"]),
        ({"source": ("read",)}, ["source open", "source read", "source close"]),
        ({"first": ("open",)}, [*NORMAL[:3], "first open", "first close"]),
        ({"second": ("open",)}, [*NORMAL[:3], "first open", "second open", "second close", "first close"]),
        ({"first": ("process",)}, [*NORMAL[:6], "second close", "first close"]),
        ({"second": ("process",)}, NORMAL[:9]),
        ({"sink": ("open",)}, [*NORMAL[:9], "sink open", "sink close"]),
        ({"sink": ("write",)}, NORMAL),
    ],
    ids=lambda value: "_".join((*value, *next(iter(value.values())))) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_failing_plugin_is_closed_once_all_the_same_and_the_run_resumes(
    platform: Platform, breaks: dict[str, tuple[str, ...]], happens: list[str]
) -> None:
    failed = platform.run(write_pipeline(platform, **breaks))
    ((who, (what,)),) = breaks.items()
    assert failed.code == 1
    assert f"{who} cannot {what}" in failed.err
    assert diary(platform) == happens

    mend(platform)
    resumed = platform.resume(failed.json["run_id"])
    assert resumed.code == 0, resumed.err
    assert resumed.json["succeeded"] == resumed.json["rows_in"] == 4
    assert resumed.json["outcomes"] == {"completed": 4}


@pytest.mark.parametrize("who", ["source", "first", "sink"])
def test_an_error_while_closing_does_not_hide_the_one_that_came_first(platform: Platform, who: str) -> None:
    works = {"source": "read", "first": "process", "sink": "write"}[who]
    breaks: dict[str, Any] = {who: (works, "close")}

    failed = platform.run(write_pipeline(platform, **breaks))

    assert failed.code == 1
    listed = failed.json["error"]
    assert f"{who} cannot {works}" in listed["message"]
    assert listed["exception"] == f"RuntimeError: {who} cannot {works}"
    with dg.DagsterInstance.get() as instance:
        (dagster_run_id,) = dagster_run_ids(platform, failed.json["run_id"])
        told = [
            entry.dagster_event.step_failure_data.user_failure_data.description
            for entry in instance.all_logs(dagster_run_id)
            if entry.dagster_event
            and entry.dagster_event.is_step_failure
            and entry.dagster_event.step_failure_data.user_failure_data
        ]
    (text,) = told
    assert text.index(f"{who} cannot {works}") < text.index(f"{who} cannot close")
    assert f"{who} cannot close" in failed.err


def test_a_plugin_that_cannot_be_closed_after_good_work_fails_the_run_and_says_which(
    platform: Platform,
) -> None:
    failed = platform.run(write_pipeline(platform, second=("close",)))

    assert failed.code == 1
    assert "'second'" in failed.err
    assert "second cannot close" in failed.err
    assert diary(platform).count("second close") == 1


def test_a_run_of_quarantined_rows_only_completes_and_resumes_with_the_same_counts(
    platform: Platform,
) -> None:
    platform.write("in.csv", "id\nx\ny\nz\n")
    settings = platform.pipeline("sour", {
        "source": {"plugin": "csv", "on_success": "out",
                   "options": {"path": "in.csv", "on_validation_failure": "bad",
                               "schema": {"mode": "fixed", "fields": ["id: int"]}}},
        "sinks": {"out": {"plugin": "csv", "options": {"path": "output/out.csv"}},
                  "bad": {"plugin": "csv", "options": {"path": "output/bad.csv"}}},
    })  # fmt: skip
    platform.write("output", "a file where the sinks' folder belongs")
    failed = platform.run(settings)
    assert failed.code == 1
    platform.path("output").unlink()

    resumed = platform.resume(failed.json["run_id"])

    assert resumed.code == 0, resumed.err
    assert (resumed.json["rows_in"], resumed.json["quarantined"], resumed.json["succeeded"]) == (3, 3, 0)
    assert resumed.json["outcomes"] == {"quarantined": 3} == platform.outcomes(failed.json["run_id"])
    assert platform.outputs() == {"bad.csv": b"id\r\nx\r\ny\r\nz\r\n", "out.csv": b""}
    again = platform.resume(failed.json["run_id"])
    assert (again.code, again.json) == (0, resumed.json)


def test_a_run_is_completed_once(platform: Platform) -> None:
    facts = platform.completed(write_pipeline(platform))

    platform.resume(facts["run_id"])

    done = platform.sql("SELECT status FROM phases WHERE node = 'seal_run' ORDER BY logged_at")
    assert [row["status"] for row in done] == ["started", "completed"]
    assert platform.sql("SELECT status FROM attempts") == [{"status": "completed"}]
