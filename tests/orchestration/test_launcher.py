"""The run launcher: a run's process is known before it works, outlives who launched it, and is missed."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from platforms import BIN, DEFINITIONS, HOME_YAML, Platform, wait_for

from elspeth_dagster.landscape.processes import Liveness, Process, identify, state_of
from elspeth_dagster.orchestration.launcher import ForkingRunLauncher
from elspeth_dagster.orchestration.names import WORKER_TAG
from elspeth_dagster.orchestration.workers import Workers, WorkersError

pytestmark = pytest.mark.dagster_process

_AT_ONCE_YAML = "run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}\n"
COPIED = {
    "source": {"plugin": "csv", "on_success": "read",
               "options": {"path": "in.csv", "on_validation_failure": "discard"}},
    "transforms": [{"name": "nosy", "plugin": "nosy", "input": "read",
                    "on_success": "out", "on_error": "discard"}],
    "sinks": {"out": {"plugin": "csv", "options": {"path": "output/out.csv"}}},
}  # fmt: skip

NOSY = """
import subprocess
import sys

from elspeth_dagster.plugins import RowTransform


class Nosy(RowTransform):
    def process(self, row):
        print("what a run prints")
        told = subprocess.run(["cat"], capture_output=True, text=True).stdout
        return row | {"heard": told + sys.stdin.read()}
"""


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers()
    yield made
    made.close()


@pytest.fixture
def instance(platform: Platform) -> Iterator[dg.DagsterInstance]:
    assert platform.root.exists()
    Path(os.environ["DAGSTER_HOME"], "dagster.yaml").write_text(HOME_YAML + _AT_ONCE_YAML)
    with dg.DagsterInstance.get() as found:
        yield found


def gone(worker: Process) -> bool:
    return state_of(worker) is Liveness.DEAD


def test_a_process_works_only_after_it_is_known(workers: Workers) -> None:
    """What it is to execute here is no request, so it ends as soon as it begins."""
    known: list[Process] = []

    def begun(worker: Process) -> None:
        assert state_of(worker) is Liveness.ALIVE
        known.append(worker)

    for _ in range(2):
        workers.start("no request", begun)
    assert len({worker.pid for worker in known}) == 2
    wait_for(lambda: all(gone(worker) for worker in known), "their ends")


def test_a_process_that_cannot_be_noted_does_nothing(workers: Workers) -> None:
    known: list[Process] = []

    def begun(worker: Process) -> None:
        known.append(worker)
        raise LookupError("no such run")

    with pytest.raises(LookupError, match="no such run"):
        workers.start("no request", begun)
    wait_for(lambda: gone(known[0]), "its end")
    workers.start("no request", known.append)  # the server is none the worse for it
    assert len(known) == 2


def test_a_server_that_was_killed_is_started_again(workers: Workers) -> None:
    known: list[Process] = []
    workers.start("no request", known.append)
    assert workers.server is not None
    os.kill(workers.server, signal.SIGKILL)
    workers.start("no request", known.append)
    assert len(known) == 2


def test_a_server_that_does_not_start_is_said(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/true")
    with pytest.raises(WorkersError, match="does not answer"):
        workers.start("no request", lambda _: None)


def test_the_runs_process_outlives_the_one_that_launched_it(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.write("definitions.py", DEFINITIONS)
    platform.write("workspace.yaml", "load_from: [{python_file: {relative_path: definitions.py}}]\n")
    platform.pipeline("copied", COPIED)
    platform.plugin("nosy", NOSY)
    platform.write("in.csv", "id\n1\n")
    launched = platform.execute(BIN / "dagster", "job", "launch", "-w", "workspace.yaml", "-j", "copied")
    assert launched.code == 0, launched.err
    wait_for(lambda: instance.get_runs()[0].is_finished, "its end")
    (run,) = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert platform.outputs() == {"out.csv": b"id,heard\r\n1,\r\n"}
    run_id, worker = json.loads(run.tags[WORKER_TAG])
    assert run_id == run.run_id
    wait_for(lambda: gone(Process(**worker)), "the end of its process")


def told(instance: dg.DagsterInstance, worker: Process | None, *, parent: bool = False) -> dg.DagsterRun:
    """A run that is launched with a worker, or whose parent was."""
    run = instance.create_run_for_job(dg.GraphDefinition(name="empty").to_job())
    if worker is not None:
        known = "the parent's" if parent else run.run_id
        instance.add_run_tags(run.run_id, {WORKER_TAG: json.dumps([known, asdict(worker)])})
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def test_a_dead_process_is_told_from_one_that_lives_or_is_not_seen(instance: dg.DagsterInstance) -> None:
    here = identify()
    assert here is not None
    dead, far = replace(here, started="never"), replace(here, host="elsewhere")
    launcher = instance.run_launcher
    assert isinstance(launcher, ForkingRunLauncher)
    assert launcher.supports_check_run_worker_health
    looks = [
        launcher.check_run_worker_health(told(instance, worker, parent=parent)).status
        for worker, parent in [(here, False), (dead, False), (far, False), (None, False), (dead, True)]
    ]
    assert looks == [WorkerStatus.RUNNING, WorkerStatus.FAILED, *[WorkerStatus.RUNNING] * 3]


def test_a_run_without_a_process_here_cannot_be_stopped(instance: dg.DagsterInstance) -> None:
    here = identify()
    assert here is not None
    for worker in (replace(here, started="never"), replace(here, host="elsewhere")):
        run = told(instance, worker)
        assert not instance.run_launcher.terminate(run.run_id)
        messages = [entry.message for entry in instance.all_logs(run.run_id)]
        assert messages[-1] == f"Process {worker.pid} on {worker.host} is not there."
