"""From the launch of a run of one row to the end of its process: forked, and started anew.

    python benchmarks/launch.py [ROUNDS]

Forked is what `ForkingRunLauncher` does, which has everything loaded. Started anew is the command by which
Dagster's launchers for containers start a run; its own local one loads as much. Prints the median seconds of
each, in turns, and their ratio. ROUNDS above 100 count as 3, so that it runs along with the other benchmarks.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value

from elspeth_dagster.landscape.processes import Liveness, Process, state_of
from elspeth_dagster.orchestration.definitions import build_definitions
from elspeth_dagster.orchestration.workers import Workers

SETTINGS = """
source:
  plugin: csv
  on_success: out
  options: {path: in.csv, on_validation_failure: discard}
sinks:
  out: {plugin: csv, options: {path: out.csv}}
"""


def job() -> Any:
    """The job of the one pipeline."""
    return build_definitions("pipelines").resolve_job_def("one")


def request(instance: dg.DagsterInstance) -> str:
    """A run that is to be executed, as the command takes it."""
    origin = dg.reconstructable(job).get_python_origin()
    run = instance.create_run_for_job(job(), job_code_origin=origin)
    return serialize_value(
        ExecuteRunArgs(job_origin=origin, run_id=run.run_id, instance_ref=instance.get_ref())
    )


def anew(execute_run: str) -> None:
    """Executes a run in a process that is started anew."""
    command = [sys.executable, "-m", "dagster", "api", "execute_run", execute_run]
    subprocess.run(command, check=True, capture_output=True)


def forked(workers: Workers, execute_run: str) -> None:
    """Executes a run in a process that is forked."""
    known: list[Process] = []
    workers.start(execute_run, known.append)
    while state_of(known[0]) is Liveness.ALIVE:
        time.sleep(0.005)


def main() -> None:
    """Measures and prints."""
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    rounds = asked if asked <= 100 else 3
    with TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ |= {"DAGSTER_HOME": folder, "ELSPETH_ROOT": folder}
        os.chdir(root)
        (root / "pipelines").mkdir()
        (root / "pipelines" / "one.yaml").write_text(SETTINGS)
        (root / "in.csv").write_text("id\n1\n")
        (root / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        workers = Workers()
        took: dict[str, list[float]] = {"forked": [], "started anew": []}
        with dg.DagsterInstance.get() as instance, Path(os.devnull).open("w") as nothing:
            errors, terminal = os.dup(2), nothing.fileno()
            os.dup2(terminal, 2)  # Dagster's log of every run
            forked(workers, request(instance))  # starts the server
            for _ in range(rounds):
                for name, way in (("forked", lambda it: forked(workers, it)), ("started anew", anew)):
                    execute_run = request(instance)
                    began = time.perf_counter()
                    way(execute_run)
                    took[name].append(time.perf_counter() - began)
            os.dup2(errors, 2)
            done = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))
        workers.close()
    assert done == 1 + 2 * rounds, f"{done} runs succeeded"
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    for name, seconds in medians.items():
        print(f"{name:>14}: {seconds:5.2f} s")
    print(f"         ratio: {medians['forked'] / medians['started anew']:5.2f}")


if __name__ == "__main__":
    main()
