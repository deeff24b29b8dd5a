"""Checks beside the balance: what is worse than agreed does not leave, unless somebody answers for it."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import pytest
from brittle import MENDED, expected_counts, expected_outputs, settings_of, write_numbers
from dagster import DagsterEventType, ReexecutionOptions
from dagster._core.definitions.freshness_evaluator import TimeWindowFreshnessPolicyEvaluator
from dagster._core.loader import LoadingContextForTest
from platform_jobs import launch
from platforms import Platform

from elspeth_dagster.orchestration.definitions import build_definitions

SOURCE = dg.AssetKey(["tariffs", "source"])
ASIDE = expected_counts()["quarantined"]
FRACTION = ASIDE / 40
ACCEPT = ("--accept-checks", "--reason", "the supplier knows")


def write(platform: Platform, **checks: Any) -> Path:
    """A pipeline that sets some of 40 rows aside, with checks."""
    write_numbers(platform)
    platform.write("pipelines/tariffs/plugins/brittle.py", MENDED)
    settings = settings_of("output")
    settings["dagster"] = {"checks": checks}
    return platform.write("pipelines/tariffs/settings.yaml", settings)


@pytest.fixture
def held_back(platform: Platform) -> str:
    """A run that a check holds back, over the files of an earlier run."""
    for name in expected_outputs():
        platform.write(f"output/{name}", f"of yesterday: {name}")
    answer = platform.run(write(platform, max_quarantined_fraction=0.05))
    assert answer.code == 1
    (run,) = platform.runs()
    assert_untouched(platform)
    return str(run["run_id"])


def assert_untouched(platform: Platform) -> None:
    yesterday = {name: f"of yesterday: {name}".encode() for name in expected_outputs()}
    assert platform.outputs() == yesterday


def assert_published(platform: Platform, run_id: str) -> None:
    """Everything is published, and nothing was read or processed by an attempt after the first."""
    assert platform.outputs() == expected_outputs()
    query = (
        "SELECT DISTINCT attempt FROM commits "
        f"WHERE run_id = '{run_id}' AND (phase < 4 OR (phase = 4 AND node LIKE 'stage%'))"
    )
    assert [row["attempt"] for row in platform.sql(query)] == [1]


def judged(platform: Platform, columns: str = "attempt, moment, name, passed") -> list[tuple[Any, ...]]:
    rows = platform.sql(f"SELECT {columns} FROM checks ORDER BY committed_at, name")
    return [tuple(row.values()) for row in rows]


def evaluations(dagster_run_id: str) -> list[dg.AssetCheckEvaluation]:
    """The evaluations of a Dagster run but for the balance, in order."""
    with dg.DagsterInstance.get() as instance:
        events = [entry.dagster_event for entry in instance.all_logs(dagster_run_id)]
    found = [
        event.asset_check_evaluation_data
        for event in events
        if event and event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    return [evaluation for evaluation in found if evaluation.check_name != "balance"]


def latest(check: str) -> Any:
    """What Dagster takes for the present state of a check."""
    key = dg.AssetCheckKey(SOURCE, check)
    with dg.DagsterInstance.get() as instance:
        return instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]


def dagster_runs(platform: Platform) -> list[str]:
    rows = platform.sql("SELECT dagster_run_id FROM attempts ORDER BY started_at")
    return [row["dagster_run_id"] for row in rows]


def test_a_run_that_is_held_back_says_why_and_how_to_go_on(platform: Platform, held_back: str) -> None:
    (run,) = platform.runs()
    assert (run["status"], run["sinks"]) == ("failed", {})
    assert run["error"]["type"] == "ChecksFailedError"
    message = run["error"]["message"]
    for part in (f": {FRACTION:g}; agreed: at most 0.05", "settings.yaml", f"elspeth resume {held_back}",
                 "--accept-checks", f"elspeth abandon {held_back}"):  # fmt: skip
        assert part in message
    assert run["checks"] == [
        {"check": "max_quarantined_fraction", "figure": FRACTION, "limit": 0.05, "severity": "error",
         "blocking": True, "passed": False}
    ]  # fmt: skip
    (evaluation,) = evaluations(dagster_runs(platform)[0])
    assert (evaluation.asset_key, evaluation.passed) == (SOURCE, False)
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    assert evaluation.metadata["elspeth/quarantined_fraction"].value == FRACTION
    assert evaluation.metadata["elspeth/limit"].value == 0.05
    assert latest("max_quarantined_fraction").status.value == "FAILED"


def test_the_rows_of_a_run_that_is_held_back_are_not_said_to_be_delivered(
    platform: Platform, held_back: str
) -> None:
    shown = platform.elspeth("resume", held_back)

    lines = [line.strip() for line in shown.out.splitlines()]
    assert "nothing was published; what goes to a sink counts above once it is delivered" in lines
    aside = [line for line in lines if line.startswith("set aside")]
    assert aside
    assert all(line.startswith("set aside, not delivered: ") for line in aside)


def test_a_run_that_was_given_up_offers_no_way_on(platform: Platform, held_back: str) -> None:
    assert platform.elspeth("abandon", held_back).code == 0

    (run,) = platform.runs()
    table = platform.elspeth("runs").out

    assert run["status"] == "abandoned"
    assert f": {FRACTION:g}; agreed: at most 0.05" in run["error"]["message"]
    assert "given up; what stopped it:" in table
    assert "elspeth resume" not in run["error"]["message"] + table


def test_after_the_limit_is_raised_it_is_published_and_not_processed_again(
    platform: Platform, held_back: str
) -> None:
    again = platform.resume(held_back)
    assert again.code == 1
    assert_untouched(platform)

    write(platform, max_quarantined_fraction=0.2)
    resumed = platform.resume(held_back)

    assert resumed.code == 0, resumed.err
    assert_published(platform, held_back)
    check = "max_quarantined_fraction"
    assert judged(platform) == [
        (1, "held_back", check, False), (2, "held_back", check, False),
        (3, "checked", check, True), (3, "final_checks", check, True),
    ]  # fmt: skip
    assert latest(check).status.value == "SUCCEEDED"


def test_a_run_is_released_by_name_and_reason(platform: Platform, held_back: str) -> None:
    released = platform.resume(held_back, *ACCEPT, "--by", "R. Vogel")

    assert released.code == 0, released.err
    assert_published(platform, held_back)
    accepted = {"by": "R. Vogel", "reason": "the supplier knows"}
    (check,) = released.json["checks"]
    assert (check["accepted"], check["passed"]) == (accepted, False)
    shown = platform.elspeth("resume", held_back)
    assert "accepted by R. Vogel: the supplier knows" in shown.out
    words = ("R. Vogel", "the supplier knows")
    assert judged(platform, "attempt, moment, accepted_by, reason") == [
        (1, "held_back", None, None), (2, "checked", *words), (2, "final_checks", *words)
    ]  # fmt: skip
    for evaluation in evaluations(dagster_runs(platform)[-1]):
        assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert str(evaluation.description).endswith("Accepted by R. Vogel: the supplier knows")
        assert evaluation.metadata["elspeth/accepted_by"].value == "R. Vogel"


@pytest.mark.parametrize("words", [("--accept-checks",), ("--reason", "x"), ("--by", "me"),
                                   ("--accept-checks", "--reason", " ")])  # fmt: skip
def test_nothing_is_accepted_without_a_reason(
    platform: Platform, held_back: str, words: tuple[str, ...]
) -> None:
    assert platform.resume(held_back, *words).code == 2
    assert_untouched(platform)


def test_only_what_held_the_run_back_is_accepted(platform: Platform, held_back: str) -> None:
    write(platform, max_quarantined_fraction=0.05, min_rows=41)
    assert platform.resume(held_back, *ACCEPT).code == 1
    assert_untouched(platform)

    released = platform.resume(held_back, *ACCEPT)
    assert released.code == 0, released.err
    assert_published(platform, held_back)


def test_there_is_nothing_to_accept_in_a_run_that_no_check_holds_back(platform: Platform) -> None:
    path = write(platform)
    platform.write("pipelines/tariffs/plugins/brittle.py", MENDED.replace("* 2", "* 2 / 0"))
    assert platform.run(path).code == 1
    run_id = platform.runs()[0]["run_id"]
    refused = platform.resume(run_id, *ACCEPT)
    assert refused.code == 1
    assert "is not held back by a check" in refused.err
    assert len(dagster_runs(platform)) == 1


def test_a_tag_on_the_re_execution_releases_the_run_and_no_other_one(
    platform: Platform, held_back: str
) -> None:
    tags = {"elspeth/accept_checks": "signed off"}
    with dg.DagsterInstance.get() as instance:
        (parent,) = dagster_runs(platform)
        assert not launch("tariffs", instance, tags=tags).success
        assert_untouched(platform)
        options = ReexecutionOptions.from_failure(parent, instance)
        released = launch("tariffs", instance, reexecution_options=options, tags=tags)
        assert released.success
    assert_published(platform, held_back)
    ((by, reason),) = judged(platform, "accepted_by, reason")[-1:]
    assert (by, reason) == (f"not named, in Dagster run {released.run_id}", "signed off")


def test_a_breach_that_does_not_block_is_shown_and_lets_pass(platform: Platform) -> None:
    checks = {
        "max_quarantined_fraction": {"limit": 0.05, "severity": "warn"},
        "min_rows": {"limit": 41, "blocking": False},
    }
    facts = platform.completed(write(platform, **checks))
    assert platform.outputs() == expected_outputs()
    assert [check["passed"] for check in facts["checks"]] == [False, False]
    found = evaluations(dagster_runs(platform)[0])
    severities = sorted((one.check_name, one.severity.value) for one in found)
    assert severities == [("max_quarantined_fraction", "WARN"), ("min_rows", "ERROR")]


def test_a_file_without_rows_does_not_replace_yesterdays(platform: Platform) -> None:
    path = write(platform, min_rows=1, max_quarantined_fraction=1)
    platform.completed(path)
    before = platform.outputs()
    platform.write("numbers.csv", "id,value\n")
    answer = platform.run(path)
    assert answer.code == 1
    assert "min_rows: records read: 0; agreed: at least 1" in answer.json["error"]["message"]
    assert platform.outputs() == before


def test_rows_that_a_sink_refuses_are_judged_when_all_has_ended(platform: Platform) -> None:
    platform.write("in.jsonl", '{"id": 1}\n{"id": 2, "more": 3}\n{"id": 3}\n')
    path = platform.pipeline(
        "strict",
        {
            "source": {"plugin": "json", "on_success": "out", "options": {
                "path": "in.jsonl", "schema": {"mode": "observed"}, "on_validation_failure": "discard"}},
            "sinks": {"out": {"plugin": "csv", "options": {
                "path": "out.csv", "schema": {"mode": "fixed", "fields": ["id: int"]}}}},
            "dagster": {"checks": {"max_failed": 0}},
        },
    )  # fmt: skip
    facts = platform.completed(path)
    assert facts["failed"] == 1
    assert facts["checks"][0] == {
        "check": "max_failed", "figure": 1, "limit": 0, "severity": "error", "blocking": True,
        "passed": False,
    }  # fmt: skip
    assert judged(platform, "moment, figure, passed") == [("checked", 0, True), ("final_checks", 1, False)]
    key = dg.AssetCheckKey(dg.AssetKey(["strict", "source"]), "max_failed")
    with dg.DagsterInstance.get() as instance:
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert found.status.value == "FAILED"


def freshness(instance: dg.DagsterInstance, asset: Any, hours: int) -> str:
    """What Dagster's daemon finds of an asset's age after so many hours."""
    then = time.time() + hours * 3600
    clock = "dagster._core.definitions.freshness_evaluator.get_current_timestamp"
    with mock.patch(clock, return_value=then):
        judged = TimeWindowFreshnessPolicyEvaluator().evaluate_freshness(
            LoadingContextForTest(instance), asset
        )
        # In a thread of its own: a browser that an earlier test opened has a loop running in this one.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, judged).result().value


def test_sinks_get_the_freshness_that_the_settings_ask_for(platform: Platform) -> None:
    settings = settings_of("output") | {"dagster": {"freshness": {"fail_after": "50h", "warn_after": "26h"}}}
    platform.write("pipelines/tariffs/settings.yaml", settings)
    platform.write("pipelines/tariffs/plugins/brittle.py", MENDED)
    write_numbers(platform)
    graph = build_definitions("pipelines").resolve_asset_graph()
    policies = {key.path[-1]: graph.get(key).freshness_policy for key in graph.materializable_asset_keys}
    agreed = dg.FreshnessPolicy.time_window(timedelta(hours=50), timedelta(hours=26))
    assert policies == {"source": None, "large": agreed, "small": agreed, "odd_ones": agreed}
    with dg.DagsterInstance.get() as instance:
        assert launch("tariffs", instance).success
        small = graph.get(dg.AssetKey(["tariffs", "small"]))
        aged = {hours: freshness(instance, small, hours) for hours in (0, 25, 27, 49, 51)}
    assert aged == {0: "PASS", 25: "PASS", 27: "WARN", 49: "WARN", 51: "FAIL"}
