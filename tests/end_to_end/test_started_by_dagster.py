"""A real `dagster dev` starts pipelines at their time, for files that arrive, and for partitions of time.

However one pipeline is started, the same input gives the same bytes, counts and record.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import brittle
import dagster as dg
import pytest
from dagster_dev import IMPATIENT_YAML, LOCATION, DagsterDev, add_brittle, dagster_dev
from platforms import DEADLINE_S, DEFINITIONS, HOME_YAML, Platform, wait_for

from elspeth_dagster.orchestration.names import PARTITION_TAG

pytestmark = pytest.mark.dagster_process

ON_FILES = {
    "source": {"plugin": "csv", "on_success": "read",
               "options": {"path": "in/a.csv", "on_validation_failure": "odd",
                           "schema": {"mode": "fixed", "fields": ["id: int", "value: float"]}}},
    "transforms": [{"name": "renamed", "plugin": "field_mapper", "input": "read", "on_success": "priced",
                    "on_error": "odd", "options": {"mapping": {"value": "price"}}}],
    "gates": [{"name": "size", "input": "priced", "condition": "row['price'] > 10",
               "routes": {"true": "large", "false": "small"}}],
    "sinks": {
        "large": {"plugin": "csv", "options": {"path": "output/files/{partition}/large.csv"}},
        "small": {"plugin": "json", "options": {"path": "output/files/{partition}/small.jsonl"}},
        "odd": {"plugin": "json", "options": {"path": "output/files/{partition}/odd.json"}},
    },
    "checkpoint": {"frequency": "every_n", "checkpoint_interval": 4},
    "dagster": {"sensor": {"watch": "in/*.csv", "settle_seconds": 1}, "schedule": "* * * * *"},
}  # fmt: skip
ON_DAYS = {
    "source": {"plugin": "csv", "on_success": "out",
               "options": {"path": "days/{partition}.csv", "on_validation_failure": "discard"}},
    "sinks": {"out": {"plugin": "csv", "options": {"path": "output/days/{partition}.csv"}}},
    "dagster": {"partitions": "daily"},
}  # fmt: skip
DIES_PUBLISHING = '''
import json
import os
from pathlib import Path
from typing import Any

from elspeth_dagster.plugins import RowSink


class Shared(RowSink):
    """Adds to one file for all runs; ends its process the first time, before it has."""

    def write(self, rows: list[dict[str, Any]]) -> None:
        root = Path(os.environ["ELSPETH_ROOT"])
        if not (root / "died publishing").exists():
            (root / "died publishing").touch()
            os.kill(os.getpid(), 9)
        with (root / "delivered.jsonl").open("a") as file:
            file.writelines(json.dumps(row) + "\\n" for row in rows)
'''
SHARING = {
    "source": {"plugin": "csv", "on_success": "out",
               "options": {"path": "days/1.csv", "on_validation_failure": "discard"}},
    "sinks": {"out": {"plugin": "shared"}},
}  # fmt: skip
ROWS = [(1, "20.5"), (2, "5"), (3, "?"), (4, "11"), (5, "7.25"), (6, "10"), (7, ""), (8, "1e3"), (9, "10.01")]
CSV = "id,value\n" + "".join(f"{number},{value}\n" for number, value in ROWS)
OUTPUTS = {
    "large.csv": b"id,price\r\n1,20.5\r\n4,11.0\r\n8,1000.0\r\n9,10.01\r\n",
    "odd.json": b'[{"id": "3", "value": "?"}, {"id": "7", "value": ""}]',
    "small.jsonl": b'{"id": 2, "price": 5.0}\n{"id": 5, "price": 7.25}\n{"id": 6, "price": 10.0}\n',
}
WAYS = {
    "dagster/schedule_name": "a schedule's tick",
    "dagster/sensor_name": "a sensor's tick",
    "dagster/backfill": "a backfill",
}
LAUNCHED = "a launch"
WHERE = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}
TURN_ON_SENSOR = """mutation($it: SensorSelector!) { started: startSensor(sensorSelector: $it) {
    __typename ... on PythonError { message } } }"""
TURN_ON_SCHEDULE = """mutation($it: ScheduleSelector!) { started: startSchedule(scheduleSelector: $it) {
    __typename ... on PythonError { message } } }"""
BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
PARTITIONS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    partitionStats { numMaterialized numFailed } } } }"""


@pytest.fixture
def server(dagster_home_template: Path, dagster_homes: Path, platform: Platform) -> Iterator[DagsterDev]:
    platform.write("definitions.py", DEFINITIONS)
    platform.write(
        "workspace.yaml",
        f"load_from: [{{python_file: {{relative_path: definitions.py, location_name: {LOCATION}}}}}]\n",
    )
    platform.pipeline("on_files", ON_FILES)
    platform.pipeline("on_days", ON_DAYS)
    add_brittle(platform, "dies", brittle.DIES)
    platform.plugin("shared", DIES_PUBLISHING)
    platform.pipeline("sharing", SHARING)
    home = Path(mkdtemp(dir=dagster_homes))
    shutil.copytree(dagster_home_template, home, dirs_exist_ok=True)
    (home / "dagster.yaml").write_text(HOME_YAML + IMPATIENT_YAML)
    with dagster_dev(platform, home) as running:
        yield running


def materialized(server: DagsterDev, *path: str) -> Any:
    return server.ask(PARTITIONS, key={"path": path})["assetNodeOrError"]["partitionStats"]


def backfill(server: DagsterDev, **params: Any) -> None:
    answer = server.ask(BACKFILL, params=params)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer


def by_job(name: str) -> dict[str, Any]:
    return {"partitionSetName": f"{name}_partition_set", "repositorySelector": WHERE}


def completed(platform: Platform) -> dict[str, str]:
    """The completed runs of `on_files`, by the Dagster run that completed each."""
    wanted = (
        "SELECT dagster_run_id, run_id FROM attempts WHERE pipeline = 'on_files' AND status = 'completed'"
    )
    return {row["dagster_run_id"]: row["run_id"] for row in platform.sql(wanted)}


def started_by_dagster(server: DagsterDev) -> dict[str, str]:
    """The completed runs of the first file, by how Dagster started them: one run for each way."""
    runs = completed(server.platform)
    with dg.DagsterInstance.from_config(server.environ["DAGSTER_HOME"]) as instance:
        known = instance.get_runs(dg.RunsFilter(list(runs), tags={PARTITION_TAG: "a.csv"}))
    return {
        next((way for tag, way in WAYS.items() if tag in run.tags), LAUNCHED): runs[run.run_id]
        for run in known
    }


def started_by_command(platform: Platform) -> dict[str, str]:
    """Runs the first file by `elspeth run` and by `dagster job execute`."""
    ran = platform.completed("pipelines/on_files.yaml", "--partition", "a.csv")["run_id"]
    executed = platform.dagster_job_execute("on_files", "--tags", json.dumps({PARTITION_TAG: "a.csv"}))
    assert executed.code == 0, executed.err
    with dg.DagsterInstance.get() as instance:  # not that of the server
        newest = instance.get_runs(limit=1)[0].run_id
    return {"elspeth run": ran, "dagster job execute": completed(platform)[newest]}


def test_the_clock_files_and_backfills_start_pipelines(server: DagsterDev) -> None:
    platform = server.platform
    for day in (1, 2, 3):
        platform.write(f"days/2026-01-0{day}.csv", f"day\n{day}\n")
    platform.write("in/a.csv", CSV)
    platform.write("in/b.csv", "id,value\n1,11\n")
    for mutation, name in ((TURN_ON_SCHEDULE, "schedule"), (TURN_ON_SENSOR, "sensor")):
        selector = WHERE | {f"{name}Name": f"on_files__{name}"}
        assert server.ask(mutation, it=selector)["started"]["__typename"] != "PythonError"
    assets = [{"path": ["on_days", "source"]}, {"path": ["on_days", "out"]}]
    backfill(server, assetSelection=assets, partitionNames=["2026-01-01", "2026-01-02"])
    backfill(server, selector=by_job("on_days"), partitionNames=["2026-01-03"])
    runs = started_by_command(platform)
    wait_for(lambda: materialized(server, "on_files", "large")["numMaterialized"] == 2, "the files' runs")
    server.launch("on_files", tags={PARTITION_TAG: "a.csv"})
    backfill(server, selector=by_job("on_files"), partitionNames=["a.csv"])
    wait_for(
        lambda: set(started_by_dagster(server)) == {*WAYS.values(), LAUNCHED}, "every way", 2 * DEADLINE_S
    )
    runs |= started_by_dagster(server)
    wait_for(lambda: materialized(server, "on_days", "out")["numMaterialized"] == 3, "the backfills")
    of_days = "SELECT status, count(*) AS n FROM runs WHERE pipeline = 'on_days' GROUP BY ALL"
    wait_for(lambda: server.sql(of_days) == [{"status": "completed", "n": 3}], "their ends")
    assert len(set(runs.values())) == 6
    facts = {run["run_id"]: run for run in platform.runs()}
    first = runs["elspeth run"]
    for way, run_id in runs.items():
        assert brittle.counts(facts[run_id]) == brittle.counts(facts[first]), way
        assert brittle.record(platform, run_id) == brittle.record(platform, first), way
    outputs = platform.outputs("output/files")
    assert {name: outputs[f"a.csv/{name}"] for name in OUTPUTS} == OUTPUTS
    assert outputs["b.csv/large.csv"] == b"id,price\r\n1,11.0\r\n"
    days = {f"2026-01-0{day}.csv": f"day\r\n{day}\r\n".encode() for day in (1, 2, 3)}
    assert platform.outputs("output/days") == days


def test_a_run_whose_process_is_killed_is_begun_again_and_goes_on(server: DagsterDev) -> None:
    """By what the home says, though the run was launched by hand."""
    first = server.launch("dies")
    wait_for(server.platform.path("died").exists, "the row that kills")
    wait_for(lambda: [at[2] for at in server.attempts("dies")][1:] == ["completed"], "the second attempt")
    assert server.status(first) == "FAILURE"
    assert len({run_id for run_id, *_ in server.attempts("dies")}) == 1
    (run,) = server.platform.runs()
    assert (run["status"], run["rows_in"]) == ("completed", brittle.ROWS)


def test_runs_that_write_where_another_one_died_wait_until_it_was_continued(server: DagsterDev) -> None:
    platform = server.platform
    platform.write("days/1.csv", "day\n1\n")
    server.launch("sharing")
    wait_for(platform.path("died publishing").exists, "the death of the first run")
    server.launch("sharing")

    def ends() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for run_id, _, status, _ in server.attempts("sharing"):
            found.setdefault(run_id, []).append(status)
        return found

    wait_for(lambda: [of_run[-1] for of_run in ends().values()] == ["completed"] * 2, "both runs")
    assert sorted(map(len, ends().values())) == [1, 2], "the second one was not tried again"
    assert platform.read("delivered.jsonl").splitlines() == [b'{"day": "1"}'] * 2
