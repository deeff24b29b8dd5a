"""Jobs of the platform's `pipelines/`, in a form that Dagster can build again by itself."""

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
