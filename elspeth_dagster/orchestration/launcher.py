"""A run launcher for Dagster: a run's process is there at once, and is missed when it dies.

In `dagster.yaml`:

    run_launcher:
      module: elspeth_dagster.orchestration.launcher
      class: ForkingRunLauncher

Dagster's own launcher starts a process that loads everything anew, and cannot tell whether it still lives:
when the machine dies, its runs count as started for ever. Of a run that this one launched Dagster's daemon
notices, with `run_monitoring` on, that its process is gone.
"""

import json
import os
import signal
import sys
from dataclasses import asdict
from typing import cast

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
)
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value
from dagster._serdes.config_class import ConfigurableClassData

from elspeth_dagster.landscape.processes import Liveness, Process, state_of
from elspeth_dagster.orchestration.names import WORKER_TAG
from elspeth_dagster.orchestration.workers import Workers

_PRIORITY_TAG = "dagster/priority"


class ForkingRunLauncher(dg.DefaultRunLauncher):
    """Launches runs of this machine's code locations in processes forked from one that has all loaded.

    Runs of other machines, and of other Python environments, are launched as by Dagster's own.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._workers = Workers()

    def launch_run(self, context: LaunchRunContext) -> None:
        """Starts a run's process, and tags the run with who that is before it does anything."""
        run, instance = context.dagster_run, self._instance
        origin = run.job_code_origin
        if origin is None or not _is_here(run):
            super().launch_run(context)
            return
        request = ExecuteRunArgs(job_origin=origin, run_id=run.run_id, instance_ref=instance.get_ref())
        self._workers.start(
            serialize_value(request), lambda worker: instance.add_run_tags(run.run_id, _told(run, worker))
        )

    def terminate(self, run_id: str) -> bool:
        """Asks a run's process to stop, as Ctrl-C does; false if there is none on this machine."""
        instance = self._instance
        run = instance.get_run_by_id(run_id)
        worker = None if run is None else _worker(run)
        if run is None or worker is None or run.is_finished:
            return cast("bool", super().terminate(run_id))  # type: ignore[no-untyped-call]
        instance.report_run_canceling(run)
        if state_of(worker) is not Liveness.ALIVE:
            instance.report_engine_event(f"Process {worker.pid} on {worker.host} is not there.", run)
            return False
        os.kill(worker.pid, signal.SIGINT)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """That it can tell whether a run's process lives."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a run's process lives; one that is not seen from here counts as alive."""
        worker = _worker(run)
        if worker is not None and state_of(worker) is Liveness.DEAD:
            self._prefer_continuation(run)
            return CheckRunHealthResult(WorkerStatus.FAILED, f"process {worker.pid} on {worker.host} is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _prefer_continuation(self, run: dg.DagsterRun) -> None:
        """Lets what continues a run go before what is queued, as others may wait for it."""
        now = run.tags.get(_PRIORITY_TAG, "0")
        if now.lstrip("-").isdecimal():
            self._instance.add_run_tags(run.run_id, {_PRIORITY_TAG: str(int(now) + 1)})

    def dispose(self) -> None:
        """Lets the server end; the runs go on."""
        self._workers.close()


def _is_here(run: dg.DagsterRun) -> bool:
    """Whether a run's code is that of this machine and this Python environment."""
    remote, code = run.remote_job_origin, run.job_code_origin
    if remote is None or code is None or code.repository_origin.executable_path != sys.executable:
        return False
    location = remote.repository_origin.code_location_origin
    if isinstance(location, GrpcServerCodeLocationOrigin):
        return location.socket is not None
    return isinstance(location, ManagedGrpcPythonEnvCodeLocationOrigin)


def _told(run: dg.DagsterRun, worker: Process) -> dict[str, str]:
    return {WORKER_TAG: json.dumps([run.run_id, asdict(worker)])}


def _worker(run: dg.DagsterRun) -> Process | None:
    """The process of a run that was launched here; one that is re-executed may bear its parent's tag."""
    run_id, worker = json.loads(run.tags.get(WORKER_TAG, '["", {}]'))
    return Process(**worker) if run_id == run.run_id else None
