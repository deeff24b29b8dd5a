"""Runs whose process is killed at a known instant, and what is left of them after a resume."""

import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from brittle import (
    HANGS,
    counts,
    dagster_run_ids,
    expected_counts,
    expected_outputs,
    settings_of,
    write_numbers,
)
from dagster import DagsterRunStatus
from platforms import BIN, DEADLINE_S, DEFINITIONS, Platform, Start, kill, wait_for

pytestmark = pytest.mark.dagster_process

SLOW_SINK = '''
import json
import os
import time
from pathlib import Path
from typing import Any

from elspeth_dagster.plugins import RowSink


class SlowSink(RowSink):
    """Waits in the middle of its work until the file `go` is there."""

    def write(self, rows: list[dict[str, Any]]) -> None:
        root = Path(os.environ["ELSPETH_ROOT"])
        while not (root / "go").exists():
            (root / "reached").touch()
            time.sleep(0.02)
        with (root / "delivered.jsonl").open("a") as file:
            file.writelines(json.dumps(row) + "\\n" for row in rows)
'''


def write_hanging(platform: Platform, **settings: Any) -> Path:
    write_numbers(platform)
    platform.write("pipelines/tariffs/plugins/brittle.py", HANGS)
    return platform.write("pipelines/tariffs/settings.yaml", settings_of("output", **settings))


def run_until_it_hangs(platform: Platform, start: Start, *command: str | Path) -> "subprocess.Popen[bytes]":
    process = start(*command)

    def hanging() -> bool:
        assert process.poll() is None, platform.read("started.log").decode()
        return platform.path("reached").exists()

    wait_for(hanging, "the plugin to reach its row")
    return process


def test_a_run_killed_in_process_is_resumed_and_a_living_one_is_not(platform: Platform, start: Start) -> None:
    settings = write_hanging(platform)
    process = run_until_it_hangs(platform, start, BIN / "elspeth", "run", settings)
    (run,) = platform.runs()
    assert run["status"] == "running"

    refused = platform.resume(run["run_id"])
    assert refused.code == 1
    assert "alive" in refused.err
    assert str(process.pid) in refused.err
    assert process.poll() is None

    kill(process)
    assert not platform.path("output").exists()
    platform.path("go").touch()
    resumed = platform.resume(run["run_id"], process=True)

    assert resumed.code == 0, resumed.err
    assert resumed.json["attempts"] == 2
    assert platform.outputs() == expected_outputs()
    assert counts(resumed.json) == expected_counts()
    with dg.DagsterInstance.get() as instance:
        first, second = dagster_run_ids(platform, run["run_id"])
        assert instance.get_run_by_id(first).status is DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(second).status is DagsterRunStatus.SUCCESS
        assert instance.get_run_by_id(second).parent_run_id == first
    committed = platform.sql(
        "SELECT attempt, count(*) AS n FROM commits WHERE phase = 4 GROUP BY 1 ORDER BY 1"
    )
    assert [row["attempt"] for row in committed] == [1, 2]


def test_a_killed_dagster_job_execute_is_resumed(platform: Platform, start: Start) -> None:
    write_hanging(platform)
    definitions = platform.write("definitions.py", DEFINITIONS)
    command = (BIN / "dagster", "job", "execute", "-f", definitions, "-j", "tariffs")
    kill(run_until_it_hangs(platform, start, *command))
    platform.path("go").touch()
    (run,) = platform.runs()

    resumed = platform.resume(run["run_id"])

    assert resumed.code == 0, resumed.err
    assert platform.outputs() == expected_outputs()
    assert counts(resumed.json) == expected_counts()


def test_a_killed_run_of_three_shards_is_resumed_without_dagsters_memory(
    platform: Platform, start: Start
) -> None:
    settings = write_hanging(platform, chunk=5, shards=3)
    kill(run_until_it_hangs(platform, start, BIN / "elspeth", "run", settings))
    platform.path("go").touch()
    platform.forget_dagster()
    (run,) = platform.runs()

    resumed = platform.resume(run["run_id"], process=True)

    assert resumed.code == 0, resumed.err
    assert (resumed.json["run_id"], resumed.json["attempts"]) == (run["run_id"], 2)
    assert platform.outputs() == expected_outputs()
    assert counts(resumed.json) == expected_counts()


def test_a_run_killed_between_two_publishes_keeps_the_first_and_makes_the_second(
    platform: Platform, start: Start
) -> None:
    write_numbers(platform)
    platform.plugin("slow_sink", SLOW_SINK)
    settings = platform.pipeline("two", {
        "source": {"plugin": "csv", "on_success": "read",
                   "options": {"path": "numbers.csv", "on_validation_failure": "bad",
                               "schema": {"mode": "fixed", "fields": ["id: int", "value: float"]}}},
        "sinks": {"bad": {"plugin": "json", "options": {"path": "output/bad.jsonl"}},
                  "read": {"plugin": "slow_sink"}},
    })  # fmt: skip
    process = run_until_it_hangs(platform, start, BIN / "elspeth", "run", settings)
    (run,) = platform.runs()
    published = platform.sql("SELECT sink, sha256 FROM artifacts")
    kill(process)
    platform.path("go").touch()
    touched = {path: path.stat().st_mtime_ns for path in platform.path("output").iterdir()}

    resumed = platform.resume(run["run_id"])

    assert resumed.code == 0, resumed.err
    assert resumed.json["status"] == "completed"
    assert [row["sink"] for row in published] == ["bad"]
    assert resumed.json["sinks"]["bad"]["sha256"] == published[0]["sha256"]
    assert {path: path.stat().st_mtime_ns for path in platform.path("output").iterdir()} == touched
    delivered = platform.read("delivered.jsonl").splitlines()
    assert len(delivered) == resumed.json["sinks"]["read"]["rows"] == resumed.json["succeeded"]
    assert resumed.json["succeeded"] + resumed.json["quarantined"] == resumed.json["rows_in"] == 40


def test_a_killed_run_goes_on_with_another_number_of_shards(platform: Platform, start: Start) -> None:
    settings = write_hanging(platform)
    kill(run_until_it_hangs(platform, start, BIN / "elspeth", "run", settings))
    platform.path("go").touch()
    (run,) = platform.runs()

    resumed = platform.resume(run["run_id"], "--shards", "3", process=True)

    assert resumed.code == 0, resumed.err
    assert platform.outputs() == expected_outputs()
    assert counts(resumed.json) == expected_counts()
    ops = platform.sql(
        "SELECT DISTINCT node FROM phases WHERE attempt = 2 AND node LIKE 'process%' ORDER BY 1"
    )
    assert [row["node"] for row in ops] == ["process_0_0", "process_0_1", "process_0_2"]


def test_a_run_killed_while_it_publishes_keeps_others_out_until_it_is_abandoned(
    platform: Platform, start: Start
) -> None:
    platform.write("numbers.csv", "id\n1\n2\n")
    platform.plugin("slow_sink", SLOW_SINK)
    settings = platform.pipeline("one", {
        "source": {"plugin": "csv", "on_success": "read",
                   "options": {"path": "numbers.csv", "on_validation_failure": "discard",
                               "schema": {"mode": "fixed", "fields": ["id: int"]}}},
        "sinks": {"read": {"plugin": "slow_sink"}},
    })  # fmt: skip
    process = run_until_it_hangs(platform, start, BIN / "elspeth", "run", settings)
    (first,) = platform.runs()
    refused = platform.elspeth("abandon", first["run_id"])
    assert (refused.code, "alive" in refused.err) == (1, True)
    stray = platform.write(f"landscape/segments/{first['run_id']}/1/stray.arrow", b"never committed")
    purged = platform.elspeth("purge")
    assert (purged.code, f"process {process.pid}" in purged.out, stray.exists()) == (0, True, True)
    kill(process)
    foretold = platform.elspeth("purge", "--dry-run", "--json").json
    assert (foretold["files"], foretold["dry_run"], stray.exists()) == (1, True, True)
    assert platform.elspeth("purge", first["run_id"], "--json").json == {**foretold, "dry_run": False}
    assert not stray.exists()
    assert "nothing was left over" in platform.elspeth("purge").out
    platform.path("go").touch()

    second = platform.run(settings, process=True)
    assert second.code == 1
    assert f"elspeth abandon {first['run_id']}" in second.err
    assert not platform.path("delivered.jsonl").exists()

    abandoned = platform.elspeth("abandon", first["run_id"], "--json")
    assert (abandoned.code, abandoned.json["status"]) == (0, "abandoned")
    assert {run["run_id"]: run["status"] for run in platform.runs()}[first["run_id"]] == "abandoned"
    assert list(platform.path("landscape/segments").glob(f"{first['run_id']}/*/*.arrow")) == []
    again = platform.resume(first["run_id"])
    assert (again.code, "was abandoned" in again.err) == (1, True)

    resumed = platform.resume(second.json["run_id"])
    assert resumed.code == 0, resumed.err
    assert platform.read("delivered.jsonl") == b'{"id": 1}\n{"id": 2}\n'


def test_of_two_resumes_at_once_one_wins_and_the_other_changes_nothing(
    platform: Platform, start: Start
) -> None:
    settings = write_hanging(platform)
    kill(run_until_it_hangs(platform, start, BIN / "elspeth", "run", settings))
    (run,) = platform.runs()
    platform.path("reached").unlink()

    racing = [start(BIN / "elspeth", "resume", run["run_id"]) for _ in range(2)]
    wait_for(lambda: any(process.poll() is not None for process in racing), "one of them to give up")
    loser = next(process for process in racing if process.poll() is not None)
    assert loser.returncode == 1
    assert "attempt 2 is alive" in platform.read("started.log").decode()
    platform.path("go").touch()
    winner = next(process for process in racing if process is not loser)

    assert winner.wait(timeout=DEADLINE_S) == 0
    assert platform.outputs() == expected_outputs()
    (done,) = platform.runs()
    assert (done["attempts"], done["status"]) == (2, "completed")
