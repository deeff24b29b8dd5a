"""`elspeth resume` of runs that began in other jobs than their pipeline's own, or whose first op died."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from brittle import MENDED, RAISES, expected_outputs, settings_of, write_numbers
from platforms import Platform

from elspeth_dagster.orchestration import attempt
from elspeth_dagster.orchestration.definitions import build_definitions


@dg.asset(ins={"approved": dg.AssetIn(key=["tariffs", "large"])})
def exposure(approved: Any) -> None:
    """Reads what the pipeline publishes."""


def execute(job: str, config: dict[str, Any] | None = None, *, forgotten: bool = False) -> None:
    """Executes a job in this process; it fails."""
    everything = dg.define_asset_job("everything", dg.AssetSelection.all())
    others = dg.Definitions(assets=[exposure], jobs=[everything])
    definitions = dg.Definitions.merge(build_definitions("pipelines"), others)
    chosen = definitions.resolve_job_def(job)
    if job == "__ASSET_JOB":
        keys = {dg.AssetKey(["tariffs", name]) for name in ("source", "large", "small", "odd_ones")}
        chosen = chosen.get_subset(asset_selection=keys)
    with dg.DagsterInstance.ephemeral() if forgotten else dg.DagsterInstance.get() as instance:
        result = chosen.execute_in_process(instance=instance, raise_on_error=False, run_config=config)
    assert not result.success


@pytest.fixture
def plugin(platform: Platform) -> Path:
    write_numbers(platform)
    platform.write("pipelines/tariffs/settings.yaml", settings_of("output"))
    return platform.write("pipelines/tariffs/plugins/brittle.py", RAISES)


def completed(platform: Platform) -> None:
    """Resumes the one run, which has to complete."""
    (run,) = platform.runs()
    answer = platform.resume(run["run_id"])
    assert answer.code == 0, answer.err
    assert [run["status"] for run in platform.runs()] == ["completed"]


@pytest.mark.parametrize(
    ("job", "config"),
    [
        ("everything", None),
        ("__ASSET_JOB", {"ops": {"tariffs__run": {"ops": {"open_run": {"config": {"limit": 39}}}}}}),
    ],
)
def test_a_run_that_began_in_another_job(
    platform: Platform, plugin: Path, job: str, config: dict[str, Any] | None
) -> None:
    execute(job, config)
    plugin.write_text(MENDED)
    completed(platform)
    if config is None:
        assert platform.outputs() == expected_outputs()
    else:
        assert platform.runs()[0]["rows_in"] == 39


def test_a_resume_that_died_in_its_first_op_is_resumed_and_no_other_run_begun(
    platform: Platform, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute("tariffs", forgotten=True)
    plugin.write_text(MENDED)
    (run,) = platform.runs()
    with monkeypatch.context() as patched:
        patched.setattr(attempt, "sweep_attempt_leftovers", lambda *_: 1 / 0)
        assert platform.resume(run["run_id"]).code == 1
    completed(platform)
    assert platform.runs()[0]["run_id"] == run["run_id"]
    assert platform.outputs() == expected_outputs()
