"""A real `dagster dev` starts pipelines: a sensor that is turned on, and backfills of partitions of time."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster_dev import IMPATIENT_YAML, LOCATION, DagsterDev, dagster_dev
from platforms import DEFINITIONS, HOME_YAML, Platform, wait_for

pytestmark = pytest.mark.dagster_process

ON_FILES = {
    "source": {"plugin": "csv", "on_success": "out",
               "options": {"path": "in/any.csv", "on_validation_failure": "discard"}},
    "sinks": {"out": {"plugin": "csv", "options": {"path": "output/files/{partition}"}}},
    "dagster": {"sensor": {"watch": "in/*.csv", "settle_seconds": 1}},
}  # fmt: skip
ON_DAYS = {
    "source": {"plugin": "csv", "on_success": "out",
               "options": {"path": "days/{partition}.csv", "on_validation_failure": "discard"}},
    "sinks": {"out": {"plugin": "csv", "options": {"path": "output/days/{partition}.csv"}}},
    "dagster": {"partitions": "daily"},
}  # fmt: skip
WHERE = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}
TURN_ON = """mutation($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) {
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
    home = dagster_homes / "started"
    shutil.copytree(dagster_home_template, home)
    (home / "dagster.yaml").write_text(HOME_YAML + IMPATIENT_YAML)
    with dagster_dev(platform, home) as running:
        yield running


def materialized(server: DagsterDev, *path: str) -> Any:
    return server.ask(PARTITIONS, key={"path": path})["assetNodeOrError"]["partitionStats"]


def test_a_sensor_and_backfills(server: DagsterDev) -> None:
    platform = server.platform
    for day in (1, 2, 3):
        platform.write(f"days/2026-01-0{day}.csv", f"day\n{day}\n")
    assets = [{"path": ["on_days", "source"]}, {"path": ["on_days", "out"]}]
    by_asset = {"assetSelection": assets, "partitionNames": ["2026-01-01", "2026-01-02"]}
    job = {"partitionSetName": "on_days_partition_set", "repositorySelector": WHERE}
    by_job = {"selector": job, "partitionNames": ["2026-01-03"]}
    for params in (by_asset, by_job):
        answer = server.ask(BACKFILL, params=params)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
    sensor = WHERE | {"sensorName": "on_files__sensor"}
    assert server.ask(TURN_ON, sensor=sensor)["startSensor"]["__typename"] == "Sensor"
    platform.write("in/a.csv", "id\n1\n")
    platform.write("in/b.csv", "id\n2\n")
    wanted = {f"days/2026-01-0{day}.csv": f"day\r\n{day}\r\n".encode() for day in (1, 2, 3)}
    wanted |= {"files/a.csv": b"id\r\n1\r\n", "files/b.csv": b"id\r\n2\r\n"}
    wait_for(lambda: materialized(server, "on_days", "out")["numMaterialized"] == 3, "the backfills")
    wait_for(lambda: materialized(server, "on_files", "out")["numMaterialized"] == 2, "the files' runs")
    assert platform.outputs() == wanted
    counted = server.sql("SELECT pipeline, status, count(*) AS n FROM runs GROUP BY ALL ORDER BY pipeline")
    assert [tuple(row.values()) for row in counted] == [
        ("on_days", "completed", 3),
        ("on_files", "completed", 2),
    ]
