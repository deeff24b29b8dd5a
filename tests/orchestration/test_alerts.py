"""The alert sensors, as the guide has them: real ticks over real runs, and a server that listens."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
from brittle import HANGS, MENDED, RAISES, settings_of, write_numbers
from platform_jobs import launch
from platforms import BIN, Platform, kill, wait_for

from elspeth_dagster.orchestration.definitions import build_definitions

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "checks-and-alerts.md"
FENCE = "```python file=alerting_definitions.py\n"


class _Listener(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.heard.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that keeps what is posted to it, under an address."""
    server = HTTPServer(("127.0.0.1", 0), _Listener)
    server.heard = []  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", server.heard  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def heard_after(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Callable[[], object]], list[dict[str, Any]]]]:
    """What the guide's sensors post of what happens between two of its ticks."""
    write_numbers(platform)
    for name, plugin in (("tariffs", RAISES), ("checked", MENDED)):
        platform.write(f"pipelines/{name}/settings.yaml", settings_of(f"output/{name}"))
        platform.write(f"pipelines/{name}/plugins/brittle.py", plugin)
    checks = {"dagster": {"checks": {"max_quarantined_fraction": 0.1}}}
    platform.write("pipelines/checked/settings.yaml", settings_of("output/checked") | checks)
    example = PAGE.read_text().partition(FENCE)[2].partition("```\n")[0]
    path = platform.write("alerting_definitions.py", example.encode())
    spec = importlib.util.spec_from_file_location("alerting_definitions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sensors = [module.defs.get_sensor_def(name) for name in ("alerts", "alerts_interrupted")]
    with listening() as (address, heard):
        monkeypatch.setenv("ALERT_WEBHOOK", address)

        def after(act: Callable[[], object]) -> list[dict[str, Any]]:
            with dg.DagsterInstance.get() as instance:
                first = [_tick(sensor, instance, module.defs, None) for sensor in sensors]
                act()
                for sensor, cursor in zip(sensors, first, strict=True):
                    _tick(sensor, instance, module.defs, cursor)
            return heard

        yield after


def _tick(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, defs: dg.Definitions, cursor: str | None
) -> str | None:
    context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=defs)
    return sensor.evaluate_tick(context).cursor


def test_a_plugin_that_raises(platform: Platform, heard_after: Any) -> None:
    (alert,) = heard_after(lambda: platform.run("pipelines/tariffs/settings.yaml"))
    (run,) = platform.runs()
    assert (alert["pipeline"], alert["status"], alert["run_id"]) == ("tariffs", "failed", run["run_id"])
    assert "node 'tariff', row 23: the plugin raised KeyError" in alert["error"]
    facts = alert["facts"]
    assert (facts["node"], facts["row"], facts["published"]) == ("tariff", "23", "nothing (0 of 3 sinks)")
    assert facts["kept"].startswith("40 records read, all there are; 4 of 8 chunks")
    assert facts["next"].endswith(f"elspeth resume {run['run_id']}")
    assert all(part in alert["text"] for part in (alert["error"], *facts.values()))


def test_a_run_that_is_held_back(platform: Platform, heard_after: Any) -> None:
    (alert,) = heard_after(lambda: platform.run("pipelines/checked/settings.yaml"))
    assert alert["pipeline"] == "checked"
    assert "is held back by its checks" in alert["error"]
    assert "elspeth/accept_checks" in alert["facts"]["next"]


def test_two_pipelines_in_one_dagster_run(heard_after: Any) -> None:
    def materialize() -> None:
        job = build_definitions("pipelines").resolve_implicit_global_asset_job_def()
        with dg.DagsterInstance.get() as instance:
            assert not job.execute_in_process(instance=instance, raise_on_error=False).success

    alerts = heard_after(materialize)
    assert {alert["pipeline"] for alert in alerts} == {"tariffs", "checked"}
    assert len({alert["dagster_run_id"] for alert in alerts}) == 1


def test_a_run_whose_process_is_gone(platform: Platform, heard_after: Any) -> None:
    platform.write("pipelines/tariffs/plugins/brittle.py", HANGS)

    def die() -> None:
        process = platform.start(BIN / "elspeth", "run", "pipelines/tariffs/settings.yaml")
        wait_for(platform.path("reached").exists, "row 23")
        # A chunk is committed while the next one is swept.
        swept = "SELECT count(*) AS n FROM commits WHERE phase = 4"
        wait_for(lambda: bool(platform.sql(swept)[0]["n"] == 4), "four chunks")
        kill(process)
        with dg.DagsterInstance.get() as instance:
            (run,) = instance.get_runs()
            instance.report_run_failed(run, "its machine was switched off")

    (alert,) = heard_after(die)
    (run,) = platform.runs()
    assert (alert["pipeline"], alert["run_id"]) == ("tariffs", run["run_id"])
    assert alert["error"] == "its machine was switched off"
    assert alert["facts"]["kept"].startswith("40 records read, all there are; 4 of 8 chunks")


# What Dagster does before it interrupts a run that is terminated in the UI.
_TERMINATED = """
            import dagster as dg
            with dg.DagsterInstance.get() as instance:
                instance.report_run_canceling(instance.get_runs(limit=1)[0])
"""


@pytest.mark.parametrize(("before", "status"), [("", "FAILURE"), (_TERMINATED, "CANCELED")])
def test_a_run_that_somebody_ended(platform: Platform, heard_after: Any, before: str, status: str) -> None:
    raises = '            raise KeyError("no tariff for 23")'
    ends = RAISES.replace(raises, f"{before}            raise KeyboardInterrupt")
    platform.write("pipelines/tariffs/plugins/brittle.py", ends.encode())
    (alert,) = heard_after(lambda: platform.run("pipelines/tariffs/settings.yaml"))
    (run,) = platform.runs()
    with dg.DagsterInstance.get() as instance:
        assert [found.status.value for found in instance.get_runs()] == [status]
    told = (alert["pipeline"], alert["status"], alert["run_id"])
    assert told == ("tariffs", "interrupted", run["run_id"])
    assert alert["text"].startswith(f"tariffs: run {run['run_id']} interrupted (Dagster run ")
    assert alert["facts"]["published"] == "nothing (0 of 3 sinks)"
    assert alert["facts"]["next"].endswith(f"elspeth resume {run['run_id']}")


def test_a_run_that_is_taken_from_the_queue(heard_after: Any) -> None:
    def take() -> None:
        job = build_definitions("pipelines").resolve_job_def("tariffs")
        with dg.DagsterInstance.get() as instance:
            instance.report_run_canceled(instance.create_run_for_job(job, tags=job.run_tags))

    (alert,) = heard_after(take)
    assert (alert["pipeline"], alert["status"], alert["run_id"]) == ("tariffs", "interrupted", None)


def test_settings_that_do_not_load(platform: Platform, heard_after: Any) -> None:
    platform.write("pipelines/spoilt.yaml", {"source": {"plugin": "csvv"}})

    def fail() -> None:
        with dg.DagsterInstance.get() as instance:
            assert not launch("spoilt", instance).success

    (alert,) = heard_after(fail)
    assert (alert["pipeline"], alert["run_id"]) == ("spoilt", None)


def test_other_runs_are_passed_over(heard_after: Any) -> None:
    @dg.op
    def fails() -> None:
        raise ValueError("not one of ours")

    @dg.job
    def other() -> None:
        fails()

    def fail() -> None:
        with dg.DagsterInstance.get() as instance:
            assert not other.execute_in_process(instance=instance, raise_on_error=False).success

    assert heard_after(fail) == []
