"""A transform that raises: what a user is told, that nothing leaves, and that resuming undoes the harm."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from brittle import (
    MENDED,
    RAISES,
    counts,
    dagster_run_ids,
    expected_counts,
    expected_outputs,
    record,
    settings_of,
    write_numbers,
)
from dagster import DagsterRunStatus, ReexecutionOptions
from platform_jobs import launch
from platforms import Platform

RESUME_TAG = {"dagster/is_resume_retry": "true"}


def write_brittle(platform: Platform, **settings: Any) -> Path:
    write_numbers(platform)
    platform.write("pipelines/tariffs/plugins/brittle.py", RAISES)
    return platform.write("pipelines/tariffs/settings.yaml", settings_of("output", **settings))


def mend(platform: Platform) -> None:
    platform.write("pipelines/tariffs/plugins/brittle.py", MENDED)


def assert_whole(platform: Platform, facts: dict[str, Any]) -> None:
    """Files and counts are those of a run that never failed."""
    assert platform.outputs() == expected_outputs()
    assert counts(facts) == expected_counts()


def names_everything(text: str) -> bool:
    return all(part in text for part in ("tariffs", "'tariff'", "row 23", "KeyError", "no tariff for 23"))


@pytest.mark.dagster_process
def test_a_row_that_breaks_a_plugin_is_named_everywhere_and_nothing_is_published(platform: Platform) -> None:
    settings = write_brittle(platform)

    failed = platform.run(settings, process=True)

    assert failed.code == 1
    assert names_everything(failed.err)
    assert failed.json["status"] == "failed"
    assert names_everything(failed.json["error"]["message"])
    assert not platform.path("output").exists()
    (listed,) = [run for run in platform.runs() if run["pipeline"] == "tariffs"]
    assert listed["error"]["node"] == "tariff"
    assert listed["error"]["row"] == 23
    assert listed["error"]["exception"].startswith("KeyError")
    assert listed["sinks"] == {}
    assert (
        names_everything(platform.elspeth("runs").out.replace("\n", " "))
        or "row 23" in platform.elspeth("runs").out
    )

    mend(platform)
    resumed = platform.resume(listed["run_id"], process=True)

    assert resumed.code == 0, resumed.err
    assert resumed.json["attempts"] == 2
    assert_whole(platform, resumed.json)
    platform.write("pipelines/whole/plugins/brittle.py", MENDED)
    undisturbed = platform.completed(
        platform.write("pipelines/whole/settings.yaml", settings_of("output_whole"))
    )
    assert platform.outputs() == platform.outputs("output_whole")
    assert counts(resumed.json) == counts(undisturbed)
    assert record(platform, listed["run_id"]) == record(platform, undisturbed["run_id"])


def test_dagsters_failure_row_says_node_row_and_exception(platform: Platform) -> None:
    run_id = platform.run(write_brittle(platform)).json["run_id"]

    with dg.DagsterInstance.get() as instance:
        (dagster_run_id,) = dagster_run_ids(platform, run_id)
        failures = [
            entry.dagster_event
            for entry in instance.all_logs(dagster_run_id)
            if entry.dagster_event and entry.dagster_event.is_step_failure
        ]
        (failure,) = [event for event in failures if event.step_failure_data.user_failure_data]

    assert failure.step_key == "tariffs__run.process_0_0"
    told = failure.step_failure_data.user_failure_data
    assert names_everything(told.description)
    facts = {name: value.value for name, value in told.metadata.items()}
    assert facts["pipeline"] == "tariffs"
    assert facts["node"] == "tariff"
    assert facts["row"] == 23
    assert "no tariff for 23" in facts["exception"]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_resumed_outputs_and_counts_are_those_of_a_run_that_never_failed(
    platform: Platform, chunk: int
) -> None:
    failed = platform.run(write_brittle(platform, chunk=chunk))
    assert failed.code == 1
    mend(platform)

    resumed = platform.resume(failed.json["run_id"])

    assert resumed.code == 0, resumed.err
    assert_whole(platform, resumed.json)


def test_a_run_may_fail_again_and_be_resumed_again(platform: Platform) -> None:
    run_id = platform.run(write_brittle(platform)).json["run_id"]
    again = platform.resume(run_id)
    assert again.code == 1
    assert again.json["attempts"] == 2
    assert names_everything(again.err)
    mend(platform)

    resumed = platform.resume(run_id)

    assert resumed.code == 0, resumed.err
    assert resumed.json["attempts"] == 3
    assert_whole(platform, resumed.json)


def test_resuming_a_completed_run_changes_nothing(platform: Platform) -> None:
    write_brittle(platform)
    mend(platform)
    facts = platform.completed(platform.path("pipelines/tariffs/settings.yaml"))
    tables = ("runs", "attempts", "commits", "segments", "artifacts", "phases")
    before = {table: platform.sql(f"SELECT * FROM {table} ORDER BY ALL") for table in tables}
    touched = {path: path.stat().st_mtime_ns for path in platform.path("output").iterdir()}

    for _ in range(2):
        resumed = platform.resume(facts["run_id"])
        assert resumed.code == 0
        assert resumed.json == facts

    assert {table: platform.sql(f"SELECT * FROM {table} ORDER BY ALL") for table in tables} == before
    assert {path: path.stat().st_mtime_ns for path in platform.path("output").iterdir()} == touched
    assert_whole(platform, facts)


@pytest.mark.parametrize("tags", [{}, RESUME_TAG], ids=["from_python", "as_the_ui_does"])
def test_dagsters_re_execution_from_failure_continues_the_run(
    platform: Platform, tags: dict[str, str]
) -> None:
    write_brittle(platform)
    with dg.DagsterInstance.get() as instance:
        with launch("tariffs", instance) as first:
            assert not first.success
        mend(platform)
        options = ReexecutionOptions.from_failure(first.run_id, instance)
        with launch("tariffs", instance, reexecution_options=options, tags=tags) as second:
            assert second.success
            ran = {event.step_key for event in second.all_events if event.is_step_start}

    assert "tariffs__run.load_source" not in ran
    assert {"tariffs__run.process_0_0", "tariffs__run.publish_large", "tariffs__run.seal_run"} <= ran
    (run,) = [run for run in platform.runs() if run["pipeline"] == "tariffs"]
    assert run["attempts"] == 2
    assert dagster_run_ids(platform, run["run_id"]) == [first.run_id, second.run_id]
    assert_whole(platform, run)


def test_resuming_what_dagster_launched_logs_no_more_than_running_it(platform: Platform) -> None:
    write_brittle(platform)
    daily = {"partitions": "daily", "partitions_start": "2026-01-01"}
    platform.write("pipelines/tariffs/settings.yaml", settings_of("output/{partition}") | {"dagster": daily})
    with (
        dg.DagsterInstance.get() as instance,
        launch("tariffs", instance, tags={"dagster/partition": "2026-01-02"}) as first,
    ):
        assert not first.success
    mend(platform)
    (run,) = platform.runs()

    resumed = platform.resume(run["run_id"])

    assert (resumed.code, resumed.json["attempts"]) == (0, 2)
    assert [line for line in resumed.err.splitlines() if line.startswith("processed ")] == [
        "processed 4 chunks"
    ]
    assert "DEBUG" not in resumed.err


def test_re_execute_all_of_a_failed_run_starts_a_run_of_its_own(platform: Platform) -> None:
    write_brittle(platform)
    with dg.DagsterInstance.get() as instance:
        with launch("tariffs", instance) as first:
            assert not first.success
        mend(platform)
        with launch(
            "tariffs", instance, reexecution_options=ReexecutionOptions(parent_run_id=first.run_id)
        ) as second:
            assert second.success

    new, old = [run for run in platform.runs() if run["pipeline"] == "tariffs"]
    assert (new["status"], new["attempts"]) == ("completed", 1)
    assert (old["status"], old["attempts"]) == ("failed", 1)
    assert platform.outputs() == expected_outputs()


def test_re_execute_all_of_a_finished_run_starts_a_run_of_its_own(platform: Platform) -> None:
    write_brittle(platform)
    mend(platform)
    with dg.DagsterInstance.get() as instance:
        with launch("tariffs", instance) as first:
            assert first.success
        options = ReexecutionOptions(parent_run_id=first.run_id)
        with launch("tariffs", instance, reexecution_options=options) as second:
            assert second.success

    new, old = platform.runs()
    assert new["run_id"] != old["run_id"]
    assert [(run["status"], run["attempts"]) for run in (new, old)] == [("completed", 1)] * 2
    assert_whole(platform, new)


def test_a_run_whose_dagster_home_was_lost_is_resumed_all_the_same(platform: Platform) -> None:
    run_id = platform.run(write_brittle(platform)).json["run_id"]
    mend(platform)
    platform.forget_dagster()

    resumed = platform.resume(run_id)

    assert resumed.code == 0, resumed.err
    assert (resumed.json["run_id"], resumed.json["attempts"]) == (run_id, 2)
    assert_whole(platform, resumed.json)
    with dg.DagsterInstance.get() as instance:
        last = instance.get_run_by_id(dagster_run_ids(platform, run_id)[-1])
    assert last is not None
    assert last.status is DagsterRunStatus.SUCCESS
    assert last.tags["elspeth/run_id"] == run_id


def test_a_resume_with_other_wiring_is_refused_with_the_difference(platform: Platform) -> None:
    settings = write_brittle(platform)
    run_id = platform.run(settings).json["run_id"]
    mend(platform)
    changed = settings_of("output")
    changed["gates"][0]["condition"] = "row['twice'] > 31"
    platform.write("pipelines/tariffs/settings.yaml", changed)

    refused = platform.resume(run_id)

    assert refused.code == 1
    assert "row['twice'] > 31" in refused.err or "condition" in refused.err
    assert not platform.path("output").exists()
    platform.write("pipelines/tariffs/settings.yaml", settings_of("output", chunk=9))
    assert platform.resume(run_id).code == 0


def test_resuming_a_run_that_is_not_there_says_so(platform: Platform) -> None:
    write_brittle(platform)
    mend(platform)
    platform.completed(platform.path("pipelines/tariffs/settings.yaml"), "--limit", "1")

    answer = platform.resume("20200101-000000-00000000")

    assert answer.code == 1
    assert "20200101-000000-00000000" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "raised", ["SystemExit(3)", "KeyboardInterrupt()", "MemoryError('full')", "ValueError('gone')"]
)
def test_whatever_a_plugin_raises_the_run_can_be_resumed(platform: Platform, raised: str) -> None:
    settings = write_brittle(platform)
    plugin = platform.path("pipelines/tariffs/plugins/brittle.py")
    plugin.write_text(plugin.read_text().replace('KeyError("no tariff for 23")', raised))

    failed = platform.run(settings)

    assert failed.code == (3 if raised.startswith("Keyboard") else 1)
    (run,) = platform.runs()
    assert run["status"] == ("interrupted" if raised.startswith("Keyboard") else "failed")
    assert raised.partition("(")[0] in json.dumps(run["error"])
    assert raised.startswith("Keyboard") or raised.partition("(")[0] in failed.err
    assert not platform.path("output").exists()
    mend(platform)
    resumed = platform.resume(run["run_id"])
    assert resumed.code == 0, resumed.err
    assert_whole(platform, resumed.json)


@pytest.mark.dagster_process
def test_other_shards_finish_when_one_fails_and_only_the_rest_is_swept_again(platform: Platform) -> None:
    settings = write_brittle(platform, chunk=4, shards=2)
    failed = platform.run(settings, process=True)
    assert failed.code == 1
    assert names_everything(failed.err)
    done = platform.sql("SELECT ordinal FROM commits WHERE phase = 4 AND node = 'stage_0' ORDER BY 1")
    # Row 23 is in chunk 5, which is shard 1's; shard 0 has the even chunks.
    assert [row["ordinal"] for row in done] == [0, 1, 2, 3, 4, 6, 8]
    mend(platform)

    resumed = platform.resume(failed.json["run_id"], process=True)

    assert resumed.code == 0, resumed.err
    assert_whole(platform, resumed.json)


def test_a_resumed_run_keeps_what_was_chosen_at_launch(platform: Platform) -> None:
    settings = write_brittle(platform)
    platform.path("numbers.csv").rename(platform.path("others.csv"))
    failed = platform.run(settings, "--limit", "30", "--source-path", "others.csv")
    assert failed.code == 1
    mend(platform)

    resumed = platform.resume(failed.json["run_id"])

    assert resumed.code == 0, resumed.err
    assert resumed.json["rows_in"] == 30


def test_a_resume_without_its_settings_file_says_where_it_was(platform: Platform) -> None:
    settings = write_brittle(platform)
    run_id = platform.run(settings).json["run_id"]
    settings.unlink()

    refused = platform.resume(run_id)

    assert refused.code != 0
    assert str(settings) in refused.err
    assert "Traceback" not in refused.err


def test_the_process_that_resumes_may_have_another_working_directory(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = platform.run(write_brittle(platform)).json["run_id"]
    mend(platform)
    monkeypatch.chdir(tmp_path)

    resumed = platform.resume(run_id)

    assert resumed.code == 0, resumed.err
    assert_whole(platform, resumed.json)
