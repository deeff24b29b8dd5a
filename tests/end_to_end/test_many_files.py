"""Many files dropped at once while the daemon dies and comes back: each is run once, none is forgotten.

The daemon dies alone first, then with all its runs' processes. The long form takes as many files as
ELSPETH_MANY_FILES says, at somewhat less than a second of processor time each, and more of them at once:

    ELSPETH_MANY_FILES=10000 python -m pytest tests/end_to_end/test_many_files.py
"""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest
from platforms import BIN, DEADLINE_S, DEFINITIONS, HOME_YAML, Platform, wait_for

from elspeth_dagster.orchestration.names import PARTITION_TAG

pytestmark = [pytest.mark.dagster_process, pytest.mark.takes_minutes]

_MANY = "ELSPETH_MANY_FILES"
_FILES = int(os.environ.get(_MANY, "200"))
# Other tests run beside the short form.
_AT_ONCE = 8 if _MANY in os.environ else 2
_DEADLINE_S = DEADLINE_S + 20 * _FILES
_QUEUE_YAML = (
    "run_coordinator:\n  module: dagster.core.run_coordinator\n  class: QueuedRunCoordinator\n"
    f"  config: {{max_concurrent_runs: {_AT_ONCE}, dequeue_interval_seconds: 1}}\n"
)
_MONITORED_YAML = HOME_YAML.replace(
    "poll_interval_seconds: 5", "poll_interval_seconds: 2\n  start_timeout_seconds: 60"
)
_EVENTS_YAML = (
    "event_log_storage:\n  module: dagster._core.storage.event_log\n"
    "  class: ConsolidatedSqliteEventLogStorage\n  config: {{base_dir: {home}/events}}\n"
)
_UNFINISHED = [status for status in dg.DagsterRunStatus if status.value not in ("SUCCESS", "FAILURE")]
ARRIVING = {
    "source": {"plugin": "csv", "on_success": "out",
               "options": {"path": "in/any.csv", "on_validation_failure": "discard"}},
    "sinks": {"out": {"plugin": "csv", "options": {"path": "output/{partition}"}}},
    "dagster": {"sensor": {"watch": "in/*.csv", "settle_seconds": 0.2}},
}  # fmt: skip


@pytest.fixture
def arriving(platform: Platform) -> Platform:
    platform.write("definitions.py", DEFINITIONS)
    platform.write("workspace.yaml", "load_from: [{python_file: {relative_path: definitions.py}}]\n")
    platform.pipeline("arriving", ARRIVING)
    home = Path(os.environ["DAGSTER_HOME"])
    # Events in one file: a file of its own for each run would cost as much again as many small ones do.
    (home / "dagster.yaml").write_text(_MONITORED_YAML + _QUEUE_YAML + _EVENTS_YAML.format(home=home))
    on = platform.execute(BIN / "dagster", "sensor", "start", "-w", "workspace.yaml", "arriving__sensor")
    assert on.code == 0, on.err
    return platform


@pytest.fixture
def instance(arriving: Platform) -> Iterator[dg.DagsterInstance]:
    assert arriving.root.exists()
    with dg.DagsterInstance.get() as found:
        yield found


class Daemon:
    """Dagster's daemon, which can be killed alone or with all that it started."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._started.append(self._platform.start(BIN / "dagster-daemon", "run", "-w", "workspace.yaml"))

    def kill(self) -> None:
        self._started[-1].kill()
        self._started[-1].wait(timeout=DEADLINE_S)

    def kill_all(self) -> None:
        for process in self._started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=DEADLINE_S)


@pytest.fixture
def daemon(arriving: Platform) -> Iterator[Daemon]:
    made = Daemon(arriving)
    yield made
    made.kill_all()


def drop(platform: Platform, numbers: range) -> None:
    for number in numbers:
        path = platform.path(f"in/{number:05}.csv")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"id\n{number}\n")


def test_every_file_is_run_once_although_the_daemon_and_its_runs_die(
    arriving: Platform, instance: dg.DagsterInstance, daemon: Daemon
) -> None:
    def count(*statuses: dg.DagsterRunStatus) -> int:
        return instance.get_runs_count(dg.RunsFilter(statuses=statuses or None))

    def succeeded(number: int) -> None:
        wait_long(lambda: count(dg.DagsterRunStatus.SUCCESS) >= number, f"{number} files' runs")

    def wait_long(condition: Callable[[], bool], what: str) -> None:
        wait_for(condition, what, _DEADLINE_S, look_every_s=1)

    def recorded(*statuses: str) -> list[str]:
        rows = arriving.sql("SELECT launch->>'partition' AS key, status FROM runs")
        return [row["key"] for row in rows if row["status"] in statuses]

    drop(arriving, range(_FILES // 2))
    daemon.start()
    succeeded(_FILES // 20)
    daemon.kill()
    drop(arriving, range(_FILES // 2, _FILES))
    daemon.start()
    succeeded(_FILES // 10)
    daemon.kill_all()
    daemon.start()
    wait_long(lambda: count() >= _FILES and count(*_UNFINISHED) == 0, "every file's run")
    wait_for(lambda: len(recorded("completed")) == _FILES, "what was lost")
    keys = [f"{number:05}.csv" for number in range(_FILES)]
    runs = instance.get_runs()
    asked = Counter(run.tags[PARTITION_TAG] for run in runs if run.parent_run_id is None)
    assert asked == dict.fromkeys(keys, 1)
    assert Counter(recorded("completed")) == dict.fromkeys(keys, 1)
    assert recorded("failed", "interrupted", "running") == []
    assert set(instance.get_materialized_partitions(dg.AssetKey(["arriving", "out"]))) == set(keys)
    assert arriving.outputs() == {key: f"id\r\n{int(key[:5])}\r\n".encode() for key in keys}
