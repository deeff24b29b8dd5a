"""Runs that are asked to stop: at the next safe point, on record, and continued to the same bytes."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from brittle import HANGS, counts, expected_counts, expected_outputs, settings_of, write_numbers
from platforms import BIN, DEADLINE_S, DEFINITIONS, Platform, Start, wait_for

STUBBORN = (
    HANGS
    + '''
    def close(self) -> None:
        """Does not end before the file `go` is there."""
        root = Path(os.environ["ELSPETH_ROOT"])
        (root / "closing").touch()
        while not (root / "go").exists():
            time.sleep(0.02)
'''
)


def write(platform: Platform, *, plugin: str = HANGS, shards: int = 1) -> Path:
    write_numbers(platform)
    platform.write("pipelines/tariffs/plugins/brittle.py", plugin)
    platform.write("definitions.py", DEFINITIONS)
    return platform.write("pipelines/tariffs/settings.yaml", settings_of("output", shards=shards))


def commands(platform: Platform, way: str) -> tuple[str | Path, ...]:
    if way == "elspeth":
        return (BIN / "elspeth", "run", platform.path("pipelines/tariffs/settings.yaml"))
    return (BIN / "dagster", "job", "execute", "-f", "definitions.py", "-j", "tariffs")


def assert_interrupted_and_resumed(platform: Platform, *resuming: str) -> None:
    """The record says that the run was interrupted, nothing was published, and it goes on to the end."""
    (run,) = platform.runs()
    assert run["status"] == "interrupted"
    assert f"elspeth resume {run['run_id']}" in run["error"]["message"]
    assert not platform.path("output").exists()
    platform.path("go").touch()
    resumed = platform.resume(run["run_id"], *resuming)
    assert resumed.code == 0, resumed.err
    assert (resumed.json["attempts"], platform.outputs()) == (2, expected_outputs())
    assert counts(resumed.json) == expected_counts()


@pytest.mark.dagster_process
@pytest.mark.parametrize(
    ("way", "shards", "number", "whole_group"),
    [
        ("elspeth", 1, signal.SIGTERM, False),
        # As a terminal does it: every process gets the signal, and the steps' get it passed on as well.
        ("elspeth", 2, signal.SIGINT, True),
        ("dagster", 1, signal.SIGTERM, False),
        ("dagster", 2, signal.SIGTERM, False),
    ],
)
def test_a_signal_stops_a_run_which_is_then_continued(
    platform: Platform, start: Start, way: str, shards: int, number: int, *, whole_group: bool
) -> None:
    write(platform, shards=shards)
    process = start(*commands(platform, way))
    wait_for(platform.path("reached").exists, "the plugin to reach its row")

    (os.killpg if whole_group else os.kill)(process.pid, number)

    # Dagster's own command fails, whatever the reason.
    assert process.wait(timeout=DEADLINE_S) == (3 if way == "elspeth" else 1)
    said = platform.read("started.log").decode()
    if way == "elspeth":
        assert "was interrupted. kept: 40 records read" in said
        assert "Execution of " not in said
        assert "Dependencies for step" not in said
    if (way, shards) == ("elspeth", 1):
        assert "Traceback" not in said
    assert_interrupted_and_resumed(platform, "--shards", "1")


@pytest.mark.dagster_process
@pytest.mark.parametrize("shards", [1, 2])
def test_a_second_signal_ends_at_once_what_does_not_stop(
    platform: Platform, start: Start, shards: int
) -> None:
    write(platform, plugin=STUBBORN, shards=shards)
    process = start(*commands(platform, "elspeth"))
    wait_for(platform.path("reached").exists, "the plugin to reach its row")
    os.kill(process.pid, signal.SIGTERM)
    wait_for(platform.path("closing").exists, "the plugin to be closed")
    time.sleep(1)
    assert process.poll() is None

    os.kill(process.pid, signal.SIGTERM)

    assert process.wait(timeout=DEADLINE_S) == 3
    assert "Traceback" not in platform.read("started.log").decode()
    assert_interrupted_and_resumed(platform, "--shards", "1")


def signalled_after(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends this process a signal when Dagster notes that a step succeeded: no op is at work then."""
    report = dg.DagsterInstance.handle_new_event

    def reporting(instance: dg.DagsterInstance, entry: Any, **rest: Any) -> Any:
        event = entry.dagster_event
        if event is not None and event.is_step_success and event.step_key.endswith(step):
            os.kill(os.getpid(), signal.SIGINT)
        return report(instance, entry, **rest)

    monkeypatch.setattr(dg.DagsterInstance, "handle_new_event", reporting)


def test_a_signal_between_two_ops_is_on_record_too(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = write(platform)
    platform.path("go").touch()
    with monkeypatch.context() as patched:
        signalled_after(".load_source", patched)
        stopped = platform.run(settings)

    assert (stopped.code, stopped.json["status"]) == (3, "interrupted")
    assert_interrupted_and_resumed(platform)


def test_a_signal_that_comes_when_the_run_is_completed_does_not_make_it_less(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = write(platform)
    platform.path("go").touch()
    signalled_after(".seal_run", monkeypatch)

    done = platform.run(settings)

    assert (done.code, done.json["status"]) == (0, "completed")
    assert platform.outputs() == expected_outputs()
