"""What Dagster's failure metadata tells of a run that failed: rows, node, reasons, what is kept, ways on."""

from typing import Any

import dagster as dg
import pytest
from brittle import MENDED, RAISES, settings_of, write_numbers
from dagster import DagsterEventType
from platform_jobs import launch
from platforms import Platform

from elspeth_dagster.landscape import set_aside as module
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.set_aside import set_aside
from elspeth_dagster.orchestration.platform import landscape_location

ASIDE = [
    {"node": "tariff", "reason": "unlucky", "count": 4, "rows": "0, 13, 26"},
    {"node": "source", "reason": "validation_failed: value (expected: float)", "count": 3,
     "rows": "3, 20, 37"},
]  # fmt: skip


def write(platform: Platform, plugin: str = MENDED, **settings: Any) -> None:
    write_numbers(platform)
    platform.write("pipelines/tariffs/plugins/brittle.py", plugin)
    platform.write("pipelines/tariffs/settings.yaml", settings_of("output") | settings)


def failures(dagster_run_id: str) -> list[dict[str, Any]]:
    """The metadata of each failed step; tables as lists of their rows."""
    with dg.DagsterInstance.get() as instance:
        events = [entry.dagster_event for entry in instance.all_logs(dagster_run_id)]
    found = [event for event in events if event and event.event_type is DagsterEventType.STEP_FAILURE]
    return [shown(event.step_failure_data.user_failure_data.metadata) for event in found]  # type: ignore[union-attr]


def shown(metadata: Any) -> dict[str, Any]:
    tables = (dg.TableMetadataValue,)
    return {
        name: [dict(record.data) for record in value.records] if isinstance(value, tables) else value.value
        for name, value in metadata.items()
    }


def fails(name: str = "tariffs") -> list[dict[str, Any]]:
    with dg.DagsterInstance.get() as instance:
        result = launch(name, instance)
    assert not result.success
    return failures(result.run_id)


def test_a_plugin_that_raises(platform: Platform) -> None:
    write(platform, RAISES)
    (told,) = fails()
    assert (told["node"], told["row"], told["exception"]) == ("tariff", 23, "KeyError: 'no tariff for 23'")
    assert told["kept"] == "40 records read, all there are; 4 of 8 chunks processed; it is not done again"
    assert told["published"] == "nothing (0 of 3 sinks)"
    assert told["next"].endswith(f"or elspeth resume {told['run']}")
    assert told["set aside so far"] == [
        ASIDE[0] | {"count": 2, "rows": "0, 13"}, ASIDE[1] | {"count": 1, "rows": "3"},
    ]  # fmt: skip
    assert told["rows so far"][0] == {
        "node": "source", "kind": "source", "rows_in": 20, "went_to": "tariff 19; odd_ones 1"
    }  # fmt: skip
    assert [row["node"] for row in told["rows so far"]] == ["source", "tariff", "size"]


def test_a_file_that_is_not_there(platform: Platform) -> None:
    write(platform)
    platform.path("numbers.csv").unlink()
    (told,) = fails()
    assert told["node"] == "source"
    assert told["kept"].startswith("0 records read so far")
    assert not {"rows so far", "set aside so far"} & set(told)


def test_a_check_that_holds_back(platform: Platform) -> None:
    write(platform, dagster={"checks": {"max_quarantined_fraction": 0.1}})
    (told,) = fails()
    assert told["error"] == "ChecksFailedError"
    assert told["set aside so far"] == ASIDE
    assert told["kept"].startswith("40 records read, all there are; 8 of 8 chunks processed")
    for way in ("`dagster.checks`", "From failure", "elspeth/accept_checks=REASON"):
        assert way in told["next"]


def test_a_target_that_cannot_be_written(platform: Platform) -> None:
    write(platform)
    platform.write("output/large.csv/in the way", "")
    (told,) = fails()
    assert (told["node"], told["published"]) == ("large", "nothing (0 of 3 sinks)")
    assert told["set aside so far"] == ASIDE


def test_a_run_that_completes_tells_the_same_reasons(platform: Platform) -> None:
    write(platform)
    platform.completed("pipelines/tariffs/settings.yaml")
    key = dg.AssetCheckKey(dg.AssetKey(["tariffs", "source"]), "balance")
    with dg.DagsterInstance.get() as instance:
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    evaluation = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
    assert shown(evaluation.metadata)["elspeth/set_aside"] == ASIDE


def test_few_reasons_are_listed_and_the_others_counted(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(platform)
    run_id = platform.completed("pipelines/tariffs/settings.yaml")["run_id"]
    with Landscape.open(landscape_location()) as landscape:
        found = set_aside(landscape, run_id, most=1)
        assert [(reason.reason, reason.count) for reason in found.reasons] == [("unlucky", 4)]
        assert (found.others, found.complete) == (3, True)
        monkeypatch.setattr(module, "_LOOKED_AT", 5)
        found = set_aside(landscape, run_id)
        assert sum(reason.count for reason in found.reasons) == 5
        assert not found.complete
