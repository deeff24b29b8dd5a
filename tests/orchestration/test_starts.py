"""What starts a pipeline by itself, as Dagster sees it: ticks of schedules and sensors, and their runs."""

import os
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from platform_jobs import launch
from platforms import Platform

from elspeth_dagster.orchestration.definitions import build_definitions

DAILY = {
    "source": {"plugin": "csv", "on_success": "out",
               "options": {"path": "in/{partition}.csv", "on_validation_failure": "discard"}},
    "sinks": {"out": {"plugin": "csv", "options": {"path": "output/daily/{partition}.csv"}}},
    "dagster": {"partitions": "daily", "schedule": "0 6 * * *", "timezone": "Europe/Berlin"},
}  # fmt: skip
ARRIVING = {
    "source": {"plugin": "csv", "on_success": "out",
               "options": {"path": "in/any.csv", "on_validation_failure": "discard"}},
    "sinks": {"out": {"plugin": "csv", "options": {"path": "output/{partition}/out.csv"}}},
    "dagster": {"sensor": {"watch": "in/*.csv", "settle_seconds": 0}, "schedule": "@daily"},
}  # fmt: skip
PLAIN = {**DAILY, "dagster": {"schedule": "@hourly"}}
PLAIN["source"] = {**DAILY["source"], "options": {**DAILY["source"]["options"], "path": "in/any.csv"}}  # type: ignore[dict-item]
PLAIN["sinks"] = {"out": {"plugin": "csv", "options": {"path": "output/plain.csv"}}}


@pytest.fixture
def instance(platform: Platform) -> Any:
    with dg.DagsterInstance.get() as found:
        yield found


def sensor_tick(instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    """One evaluation of the sensor, with its new partitions made as the daemon does."""
    definitions = build_definitions("pipelines")
    repository = definitions.get_repository_def()
    context = dg.build_sensor_context(
        instance_ref=instance.get_ref(), cursor=cursor, repository_def=repository
    )
    tick = repository.get_sensor_def("arriving__sensor").evaluate_tick(context)
    for request in tick.dynamic_partitions_requests or ():
        instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
    return tick


def scheduled(instance: dg.DagsterInstance, name: str, at: datetime) -> Any:
    repository = build_definitions("pipelines").get_repository_def()
    context = dg.build_schedule_context(
        instance_ref=instance.get_ref(), scheduled_execution_time=at, repository_def=repository
    )
    return repository.get_schedule_def(f"{name}__schedule").evaluate_tick(context)


def keys(instance: dg.DagsterInstance, *asset: str) -> set[str]:
    """The partitions of an asset that were materialised."""
    return set(instance.get_materialized_partitions(dg.AssetKey(asset)))


def requested(request: Any) -> dict[str, Any]:
    return {"tags": dict(request.tags), "run_config": dict(request.run_config)}


def test_each_file_gives_one_run_and_one_partition(platform: Platform, instance: dg.DagsterInstance) -> None:
    platform.pipeline("arriving", ARRIVING)
    platform.write("in/a.csv", "id\n1\n")
    platform.write("in/b c.csv", "id\n2\n3\n")
    tick = sensor_tick(instance)
    assert [request.partition_key for request in tick.run_requests] == ["a.csv", "b c.csv"]
    for request in tick.run_requests:
        assert launch("arriving", instance, **requested(request)).success
    assert platform.outputs() == {"a.csv/out.csv": b"id\r\n1\r\n", "b c.csv/out.csv": b"id\r\n2\r\n3\r\n"}
    assert keys(instance, "arriving", "out") == keys(instance, "arriving", "source") == {"a.csv", "b c.csv"}
    assert sensor_tick(instance, tick.cursor).run_requests == []
    assert sensor_tick(instance, None).run_requests == [], "Dagster's runs tell what the cursor forgot"
    platform.write("in/a.csv", "id\n4\n")
    again = sensor_tick(instance, tick.cursor).run_requests
    assert [request.partition_key for request in again] == ["a.csv"]
    assert again[0].run_key != tick.run_requests[0].run_key
    assert launch("arriving", instance, **requested(again[0])).success
    assert platform.read("output/a.csv/out.csv") == b"id\r\n4\r\n"


def test_a_run_that_never_began_is_begun_again(platform: Platform, instance: dg.DagsterInstance) -> None:
    platform.pipeline("arriving", ARRIVING)
    platform.write("in/a.csv", "id\n1\n")
    (request,) = sensor_tick(instance).run_requests
    job = build_definitions("pipelines").resolve_job_def("arriving")
    run = instance.create_run_for_job(job, tags={**job.run_tags, **request.tags})
    instance.report_run_failed(run, "the daemon died when it was about to start it")
    lost = instance.get_run_by_id(run.run_id)
    assert lost is not None
    assert auto_reexecution_should_retry_run(instance, lost, RunFailureReason.START_TIMEOUT)
    assert not auto_reexecution_should_retry_run(instance, lost, RunFailureReason.STEP_FAILURE)
    again = dg.ReexecutionOptions.from_failure(run.run_id, instance)
    assert launch("arriving", instance, tags=dict(request.tags), reexecution_options=again).success
    assert platform.outputs() == {"a.csv/out.csv": b"id\r\n1\r\n"}


def test_a_file_that_is_gone_before_its_run_starts(platform: Platform, instance: dg.DagsterInstance) -> None:
    platform.pipeline("arriving", ARRIVING)
    path = platform.write("in/a.csv", "id\n1\n")
    request = sensor_tick(instance).run_requests[0]
    path.unlink()
    result = launch("arriving", instance, **requested(request))
    assert not result.success
    assert "in/a.csv: there is no such file" in platform.runs()[0]["error"]["message"]
    path.write_text("id\n1\n")
    answer = platform.resume(platform.runs()[0]["run_id"])
    assert answer.code == 0, answer.err
    assert platform.outputs() == {"a.csv/out.csv": b"id\r\n1\r\n"}
    assert keys(instance, "arriving", "out") == {"a.csv"}, "a resumed run is still that partition's"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_name_that_is_no_text_is_told_in_what_is_text(
    platform: Platform, instance: dg.DagsterInstance, *, is_there: bool
) -> None:
    platform.pipeline("arriving", ARRIVING)
    path = platform.write(f"in/{os.fsdecode(bytes([77, 252]))}.csv", "id\n1\n")
    (request,) = sensor_tick(instance).run_requests
    assert request.partition_key == "M%FC.csv"
    if not is_there:
        path.unlink()
    result = launch("arriving", instance, **requested(request))
    assert result.success is is_there
    for entry in instance.all_logs(result.run_id):
        told = [entry.user_message, entry.message]
        if entry.dagster_event and entry.dagster_event.is_step_materialization:
            metadata = entry.dagster_event.step_materialization_data.materialization.metadata
            told += [str(value.value) for value in metadata.values()]
        if entry.dagster_event and entry.dagster_event.is_step_failure:
            told.append(str(entry.dagster_event.step_failure_data))
        assert "".join(told).encode()
    (run,) = platform.runs()
    assert str(run.get("error")).encode()


@pytest.mark.parametrize(("path", "code"), [("output/{partition}/out.csv", 0), ("output/all.csv", 1)])
def test_a_file_whose_publish_died_holds_up_those_that_write_the_same_target(
    platform: Platform, path: str, code: int
) -> None:
    sink = {"plugin": "csv", "options": {"path": path, "mode": "append"}}
    settings = platform.pipeline("arriving", change(ARRIVING, "sinks.out", sink))
    for name in ("any", "b"):
        platform.write(f"in/{name}.csv", "id\n1\n")
        platform.path(f"output/{name}.csv").parent.mkdir(exist_ok=True)
    target = platform.path(path.replace("{partition}", "any.csv"))
    target.mkdir(parents=True)  # a folder where the file should be
    assert platform.run(settings, "--partition", "any.csv").code == 1
    answer = platform.run(settings, "--partition", "b.csv")
    assert answer.code == code, answer.err
    if code:
        assert "elspeth abandon" in answer.err
    target.rmdir()
    assert platform.resume(platform.runs()[1]["run_id"]).code == 0
    assert target.read_bytes() == b"id\r\n1\r\n"


def test_resume_of_a_partition_that_dagster_has_forgotten(platform: Platform) -> None:
    settings = platform.pipeline("daily", DAILY)
    assert platform.run(settings, "--partition", "2026-01-02").code == 1
    platform.write("in/2026-01-02.csv", "id\n1\n")
    run = platform.runs()[0]["run_id"]
    platform.forget_dagster()
    assert platform.resume(run).code == 0
    assert platform.outputs() == {"daily/2026-01-02.csv": b"id\r\n1\r\n"}


@pytest.mark.parametrize(
    ("at", "key"),
    [
        (datetime(2026, 5, 5, 4, tzinfo=UTC), "2026-05-04"),
        (datetime(2026, 1, 1, 5, tzinfo=UTC), "2025-12-31"),
        (datetime(2026, 5, 4, 22, tzinfo=UTC), "2026-05-04"),  # midnight in Berlin
    ],
)
def test_a_tick_takes_the_day_that_is_over(
    platform: Platform, instance: dg.DagsterInstance, at: datetime, key: str
) -> None:
    platform.pipeline("daily", DAILY)
    assert [request.partition_key for request in scheduled(instance, "daily", at).run_requests] == [key]


@pytest.mark.parametrize(
    ("partitioned", "cron", "keys"),
    [
        ("daily", "0 6 * * 1", [f"2026-03-{day}" for day in range(23, 30)]),
        ("daily", "*/10 * * * *", ["2026-03-29"]),
        ("hourly", "0 6,9 * * *", [f"2026-03-30-0{hour}:00" for hour in (6, 7, 8)]),
        ("weekly", "@daily", ["2026-03-22"]),
        ("monthly", "0 9 * * *", ["2026-02-01"]),
    ],
)
def test_a_tick_takes_all_that_ended_since_the_one_before_it(
    platform: Platform, instance: dg.DagsterInstance, partitioned: str, cron: str, keys: list[str]
) -> None:
    document = change(change(DAILY, "dagster.partitions", partitioned), "dagster.schedule", cron)
    platform.pipeline("daily", document)
    hour = 7 if partitioned == "hourly" else 4
    requests = scheduled(instance, "daily", datetime(2026, 3, 30, hour, tzinfo=UTC)).run_requests
    assert [request.partition_key for request in requests] == keys
    assert len({request.run_key for request in requests}) == len(keys)


def test_every_way_to_start_a_run_gives_the_same_bytes(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    """Schedule tick, sensor tick, `elspeth run` by key and by file, and `dagster job execute`."""
    settings = platform.pipeline("arriving", ARRIVING)
    platform.write("in/any.csv", "id,n\n1,2\nx\n3,4\n")
    seen: list[tuple[bytes, list[Any]]] = []

    def note() -> None:
        run = platform.runs()[0]
        counts = [run[key] for key in ("rows_in", "succeeded", "failed", "quarantined", "outcomes", "sinks")]
        path = platform.path("output/any.csv/out.csv")
        seen.append((path.read_bytes(), counts))
        path.unlink()

    for tick in (sensor_tick(instance), scheduled(instance, "arriving", datetime(2026, 1, 1, tzinfo=UTC))):
        assert launch("arriving", instance, **requested(tick.run_requests[0])).success
        note()
    for how in ((), ("--partition", "any.csv"), ("--source-path", "in/any.csv")):
        platform.completed(settings, *how)
        note()
    answer = platform.dagster_job_execute("arriving", "--tags", '{"dagster/partition": "any.csv"}')
    assert answer.code == 0, answer.err
    note()
    assert seen == [seen[0]] * len(seen)
    assert keys(instance, "arriving", "out") == {"any.csv"}


def test_a_watched_folder_beside_the_platform(platform: Platform, instance: dg.DagsterInstance) -> None:
    beside = f"../{platform.root.name}-data"
    document = change(ARRIVING, "source.options.path", f"{beside}/./x/../any.csv")
    settings = platform.pipeline("arriving", change(document, "dagster.sensor.watch", f"{beside}/*.csv"))
    platform.write(f"{beside}/any.csv", "id\n1\n")
    for tick in (scheduled(instance, "arriving", datetime(2026, 1, 1, tzinfo=UTC)), sensor_tick(instance)):
        (request,) = tick.run_requests
        assert request.partition_key == "any.csv"
        assert launch("arriving", instance, **requested(request)).success
    platform.completed(settings, "--source-path", f"{beside}/any.csv")
    assert platform.outputs() == {"any.csv/out.csv": b"id\r\n1\r\n"}


def test_an_older_content_that_was_run_again_is_not_the_last_one(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.pipeline("arriving", ARRIVING)
    platform.write("in/a.csv", "id\n1\n")
    older = sensor_tick(instance)
    platform.write("in/a.csv", "id\n2\n")
    newer = sensor_tick(instance, older.cursor)
    for tick in (newer, older):
        launch("arriving", instance, **requested(tick.run_requests[0]))
    assert sensor_tick(instance, None).run_requests == []


def test_a_plain_schedule(platform: Platform, instance: dg.DagsterInstance) -> None:
    platform.pipeline("plain", PLAIN)
    platform.write("in/any.csv", "id\n1\n")
    tick = scheduled(instance, "plain", datetime(2026, 1, 1, tzinfo=UTC))
    assert launch("plain", instance, **requested(tick.run_requests[0])).success
    assert platform.outputs() == {"plain.csv": b"id\r\n1\r\n"}


@pytest.mark.parametrize(("retries", "at_a_step"), [(None, False), (5, True)])
def test_a_run_that_was_lost_is_begun_again_and_one_that_failed_at_a_step_only_if_asked_for(
    platform: Platform, instance: dg.DagsterInstance, retries: int | None, at_a_step: bool
) -> None:
    platform.pipeline("plain", {**PLAIN, "dagster": {"max_retries": retries}})
    job = build_definitions("pipelines").resolve_job_def("plain")
    run = instance.create_run_for_job(job, tags=dict(job.run_tags))
    instance.report_run_failed(run, "its process is gone")
    lost = instance.get_run_by_id(run.run_id)
    assert lost is not None
    assert auto_reexecution_should_retry_run(instance, lost, RunFailureReason.RUN_EXCEPTION)
    assert auto_reexecution_should_retry_run(instance, lost, RunFailureReason.STEP_FAILURE) is at_a_step


@pytest.mark.parametrize(("at_least", "again"), [(2, False), (1, True)])
def test_what_only_people_can_mend_is_not_tried_again(
    platform: Platform, instance: dg.DagsterInstance, at_least: int, *, again: bool
) -> None:
    platform.pipeline("plain", {**PLAIN, "dagster": {"max_retries": 2, "checks": {"min_rows": at_least}}})
    platform.write("in/any.csv", "id\n1\n")
    platform.write("output", "a file where the folder should be")
    result = launch("plain", instance)
    assert not result.success
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert auto_reexecution_should_retry_run(instance, run, RunFailureReason.STEP_FAILURE) is again


def test_no_retries_are_none_whatever_the_instance_says(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.pipeline("plain", {**PLAIN, "dagster": {"max_retries": 0}})
    tags = build_definitions("pipelines").resolve_job_def("plain").tags
    assert tags["dagster/max_retries"] == "0"
    assert tags["dagster/retry_on_asset_or_op_failure"] == "true"


def test_a_limit_below_zero_empties_nothing(platform: Platform, instance: dg.DagsterInstance) -> None:
    platform.pipeline("plain", PLAIN)
    platform.write("in/any.csv", "id\n1\n")
    assert not launch("plain", instance, run_config={"limit": -1}).success
    assert not platform.path("output").exists()
    assert not platform.path("landscape").exists()


def test_partitions_of_time_that_read_one_file_are_warned_of(platform: Platform) -> None:
    settings = platform.pipeline("daily", change(DAILY, "source.options.path", "in/one.csv"))
    answer = platform.elspeth("validate", settings)
    assert answer.code == 0
    assert "each partition reads this one file; put {partition} in its path" in answer.out + answer.err


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (("--partition", "sub/a.csv"), "'sub/a.csv' is not one of them (did you mean 'sub%2Fa.csv'?)"),
        (("--partition", "%61.csv"), "'%61.csv' is not one of them (did you mean 'a.csv'?)"),
        (("--partition", os.fsdecode(b"M\xfc.csv")), "(did you mean 'M%FC.csv'?)"),
        (("--source-path", "elsewhere/a.csv"), "'elsewhere/a.csv' is not below 'in'; nothing was read"),
    ],
)
def test_a_file_that_is_named_in_another_way(platform: Platform, named: tuple[str, str], said: str) -> None:
    platform.write("elsewhere/a.csv", "id\n1\n")
    answer = platform.run(platform.pipeline("arriving", ARRIVING), *named)
    assert answer.code == 2
    assert said in answer.json["error"]["message"]


@pytest.mark.parametrize("key", [None, "2026-13-01", "../2026-01-01", "2999-01-01"])
def test_a_run_for_no_partition_is_refused(
    platform: Platform, instance: dg.DagsterInstance, key: str | None
) -> None:
    settings = platform.pipeline("daily", DAILY)
    answer = platform.run(settings, *(("--partition", key) if key else ()))
    assert answer.code == 2
    assert "each run takes one partition (daily)" in answer.json["error"]["message"]
    if key is None:
        result = launch("daily", instance)
        assert not result.success
        failure = result.get_step_failure_events()[0].step_failure_data.user_failure_data
        assert failure is not None
        assert "none was named; nothing was read" in str(failure.description)
    assert not platform.path("landscape").exists()


def test_a_partition_of_a_pipeline_without_any(platform: Platform) -> None:
    settings = platform.pipeline("plain", PLAIN)
    answer = platform.run(settings, "--partition", "x")
    assert answer.code == 2
    assert "has no partitions" in answer.err


def test_downstream_assets_take_a_partition(platform: Platform, instance: dg.DagsterInstance) -> None:
    settings = platform.pipeline("daily", DAILY)
    for day in ("2026-01-01", "2026-01-02"):
        platform.write(f"in/{day}.csv", f"day\n{day}\n")
        platform.completed(settings, "--partition", day)
    definitions = build_definitions("pipelines")
    loaded = definitions.load_asset_value(
        dg.AssetKey(["daily", "out"]), instance=instance, partition_key="2026-01-01"
    )
    assert loaded["day"].tolist() == ["2026-01-01"]


def change(document: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    """A copy of a settings document with one key set, or left out for `None`."""
    first, _, rest = where.partition(".")
    copy = dict(document)
    if rest:
        copy[first] = change(document.get(first, {}), rest, value)
    elif value is None:
        copy.pop(first, None)
    else:
        copy[first] = value
    return copy


@pytest.mark.parametrize(
    ("document", "where", "value", "expected"),
    [
        (
            DAILY,
            "sinks.out.options.path",
            "output/x.csv",
            (
                'each partition would overwrite it; write path: "output/x/{partition}.csv", with the quotes, '
                "or add with 'mode: append'"
            ),
        ),
        (DAILY, "sinks.out.options.path", "x", 'write path: "x/{partition}", with the quotes, or add'),
        (
            DAILY,
            "sinks.out",
            {"plugin": "parquet", "options": {"path": "output/x.parquet"}},
            'write path: "output/x/{partition}.parquet", with the quotes\n',
        ),
        (ARRIVING, "sinks.out.options.path", "output/x.csv", 'write path: "output/x/{partition}", with'),
        (ARRIVING, "sinks.out.options.path", "x.tsv", 'write path: "x/{partition}.tsv", with'),
        (DAILY, "dagster", None, "the pipeline has no partitions; add 'dagster.partitions'"),
        (DAILY, "dagster.sensor", {"watch": "in/*"}, "each file that arrives is a partition already"),
        (ARRIVING, "sinks.out.options.path", "in/{partition}", "would be watched too"),
        (ARRIVING, "source.options.path", "other/a.csv", "a scheduled run reads source.options.path"),
        (ARRIVING, "source", {"plugin": "null", "on_success": "out"}, "has no option 'path'"),
        (DAILY, "dagster.schedule", "61 * * * *", "'61' is no minute"),
    ],
)
def test_settings_that_do_not_go_together(
    platform: Platform, document: dict[str, Any], where: str, value: Any, expected: str
) -> None:
    platform.pipeline("good", PLAIN)
    settings = platform.pipeline("wrong", change(document, where, value))
    answer = platform.elspeth("validate", settings)
    assert answer.code == 2
    assert expected in answer.err
    definitions = build_definitions("pipelines")
    broken = [key for key in definitions.resolve_all_asset_keys() if key.path[0] == "broken_settings"]
    assert len(broken) == 1
    assert definitions.resolve_job_def("good")


@pytest.mark.parametrize(
    ("url", "table"),
    [
        ("sqlite:///output/x.db", "orders_{partition}"),
        ("sqlite:///output/{partition}.db", "orders_{partition}"),
        ("postgresql://loader@db.example.org/{partition}", "orders"),
    ],
)
def test_a_placeholder_that_no_database_fills_in(platform: Platform, url: str, table: str) -> None:
    sink = {"plugin": "database", "options": {"url": url, "table": table}}
    answer = platform.elspeth("validate", platform.pipeline("wrong", change(DAILY, "sinks.out", sink)))
    assert answer.code == 2
    assert "{partition} is filled in where a SQLite file is named, and nowhere else" in answer.err
    assert "one table, with 'if_exists: append'" in answer.err


def test_replacing_a_table_for_each_partition(platform: Platform) -> None:
    sink = {"plugin": "database", "options": {"url": "sqlite:///output/x.db", "table": "t"}}
    document = change(DAILY, "sinks.out", sink)
    assert platform.elspeth("validate", platform.pipeline("adds", document)).code == 0
    replaces = change(document, "sinks.out.options.if_exists", "replace")
    answer = platform.elspeth("validate", platform.pipeline("replaces", replaces))
    assert answer.code == 2
    assert 'overwrite it; write url: "sqlite:///output/x/{partition}.db", with the quotes, or' in answer.err
    server = change(replaces, "sinks.out.options.url", "postgresql://loader@db.example.org/x")
    answer = platform.elspeth("validate", platform.pipeline("server", server))
    assert "each partition would overwrite it; add with 'if_exists: append'" in answer.err
    each = change(replaces, "sinks.out.options.url", "sqlite:///output/{partition}.db")
    settings = platform.pipeline("each", each)
    platform.write("in/2026-01-01.csv", "id\n1\n")
    platform.completed(settings, "--partition", "2026-01-01")
    assert platform.path("output/2026-01-01.db").exists()
