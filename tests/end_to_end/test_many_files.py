"""Many files dropped at once while the daemon dies and comes back: each is run once, none is forgotten.

The daemon asks for the runs, which are then taken to their end in a process for each processor: one for
each run, as the daemon's launcher starts, takes some seconds. Of the 200 files of the short form all are
asked for, and the runs of a few are taken to their end. The long form takes as many files as
ELSPETH_MANY_FILES says, and runs them all, at about a second of processor time each:

    ELSPETH_MANY_FILES=10000 python -m pytest tests/end_to_end/test_many_files.py
"""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from platform_jobs import launch_all
from platforms import BIN, DEADLINE_S, DEFINITIONS, HOME_YAML, Platform, kill, wait_for

from elspeth_dagster.orchestration.names import ARRIVAL_TAG, CONTENT_TAG, PARTITION_TAG

_FILES = int(os.environ.get("ELSPETH_MANY_FILES", "200"))
_DEADLINE_S = DEADLINE_S + 0.5 * _FILES
_RUN_OF_THEM = _FILES if "ELSPETH_MANY_FILES" in os.environ else 5
_QUEUE_YAML = (
    "run_coordinator:\n  module: dagster.core.run_coordinator\n  class: QueuedRunCoordinator\n"
    "  config: {max_concurrent_runs: 0}\n"
)
_EVENTS_YAML = (
    "event_log_storage:\n  module: dagster._core.storage.event_log\n"
    "  class: ConsolidatedSqliteEventLogStorage\n  config: {{base_dir: {home}/events}}\n"
)
ARRIVING = {
    "source": {"plugin": "csv", "on_success": "out",
               "options": {"path": "in/any.csv", "on_validation_failure": "discard"}},
    "sinks": {"out": {"plugin": "csv", "options": {"path": "output/{partition}"}}},
    "dagster": {"sensor": {"watch": "in/*.csv", "settle_seconds": 0.2}},
}  # fmt: skip


@pytest.fixture
def arriving(platform: Platform) -> Platform:
    """A platform whose daemon starts no runs, so that what the sensor asked for is there to be counted."""
    platform.write("definitions.py", DEFINITIONS)
    platform.write("workspace.yaml", "load_from: [{python_file: {relative_path: definitions.py}}]\n")
    platform.pipeline("arriving", ARRIVING)
    home = Path(os.environ["DAGSTER_HOME"])
    events = _EVENTS_YAML.format(home=home)  # in one file: a file for each run costs a sixth of a run
    (home / "dagster.yaml").write_text(HOME_YAML + _QUEUE_YAML + events)
    on = platform.execute(BIN / "dagster", "sensor", "start", "-w", "workspace.yaml", "arriving__sensor")
    assert on.code == 0, on.err
    return platform


@pytest.fixture
def instance(arriving: Platform) -> Iterator[dg.DagsterInstance]:
    assert arriving.root.exists()
    with dg.DagsterInstance.get() as found:
        yield found


def drop(platform: Platform, numbers: range) -> None:
    for number in numbers:
        path = platform.path(f"in/{number:05}.csv")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"id\n{number}\n")


def daemon(platform: Platform) -> "subprocess.Popen[bytes]":
    return platform.start(BIN / "dagster-daemon", "run", "-w", "workspace.yaml")


def test_every_file_is_asked_for_once_although_the_daemon_dies(
    arriving: Platform, instance: dg.DagsterInstance
) -> None:
    def asked() -> int:
        return instance.get_runs_count(dg.RunsFilter(job_name="arriving"))

    drop(arriving, range(_FILES // 2))
    for died_at in (_FILES // 10, _FILES // 2 + 10):
        process = daemon(arriving)
        try:
            wait_for(lambda at=died_at: asked() >= at, f"{died_at} runs", _DEADLINE_S)  # type: ignore[misc]
        finally:
            kill(process)
        drop(arriving, range(_FILES // 2, _FILES))
    process = daemon(arriving)
    try:
        wait_for(lambda: asked() >= _FILES, "all runs", _DEADLINE_S)
        time.sleep(6)  # one more look, which has nothing to ask for
    finally:
        kill(process)
    runs = instance.get_runs(dg.RunsFilter(job_name="arriving"))
    assert Counter(run.tags[PARTITION_TAG] for run in runs) == {f"{n:05}.csv": 1 for n in range(_FILES)}
    wanted = [
        ({tag: run.tags[tag] for tag in (PARTITION_TAG, CONTENT_TAG, ARRIVAL_TAG)}, run.run_config)
        for run in runs[:_RUN_OF_THEM]
    ]
    assert launch_all("arriving", wanted) == _RUN_OF_THEM
    expected = {tags[PARTITION_TAG] for tags, _ in wanted}
    recorded = arriving.sql("SELECT launch->>'source_path' AS file FROM runs WHERE status = 'completed'")
    assert Counter(Path(row["file"]).name for row in recorded) == dict.fromkeys(expected, 1)
    assert set(instance.get_materialized_partitions(dg.AssetKey(["arriving", "out"]))) == expected
    assert arriving.outputs() == {key: f"id\r\n{int(key[:5])}\r\n".encode() for key in expected}
