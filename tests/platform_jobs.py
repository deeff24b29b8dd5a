"""Jobs of the platform's `pipelines/`, in a form that Dagster can build again by itself."""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from os import cpu_count
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster import build_reconstructable_job, execute_job

from elspeth_dagster.orchestration.definitions import build_definitions


def job(name: str, _launch: str) -> Any:
    """The job of a pipeline; Dagster keeps what it built for the same arguments, hence one more."""
    return build_definitions("pipelines").resolve_job_def(name)


def launch(name: str, instance: dg.DagsterInstance, **how: Any) -> dg.JobExecutionResult:
    """Executes a pipeline's job in this process through Dagster's Python API."""
    arguments = (name, uuid4().hex)
    reconstructable = build_reconstructable_job("platform_jobs", "job", reconstructable_args=arguments)  # type: ignore[arg-type]
    return execute_job(reconstructable, instance=instance, raise_on_error=False, **how)


def launch_all(name: str, asked: list[tuple[Mapping[str, str], Mapping[str, Any]]]) -> int:
    """Executes a pipeline's job for each pair of tags and configuration, and gives how many runs succeeded.

    A process for each processor takes one run after the other, and begins anew now and then, since Dagster
    keeps every job that it built.
    """
    processes = ProcessPoolExecutor(cpu_count(), mp_context=get_context("spawn"), max_tasks_per_child=250)
    with processes:
        return sum(processes.map(_succeeds, [name] * len(asked), *zip(*asked, strict=True)))


def _succeeds(name: str, tags: Mapping[str, str], run_config: Mapping[str, Any]) -> bool:
    return launch(name, _instance(), tags=tags, run_config=run_config).success


@cache
def _instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.get()
