"""Every finding of the analysis that this engine was begun from, shown on real runs.

What it found wrong in a comparable engine: counts that a resumed run lost, behind joins above all, since
resuming had code of its own; plugins closed twice; errors and retry-later signals that clean-up replaced; a
run finished a second time; runs of quarantined rows alone that could not be resumed; no progress kept in a
resume; plugins left open when setting up failed half-way; state of an earlier run in the next one; intervals
of progress that nobody could choose. Its findings on comments, imports and unused names have no behaviour.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brittle
import dagster as dg
import pytest
from brittle import counts, dagster_run_ids, expected_counts, expected_outputs, record, settings_of
from crash_cases import JOINS
from dagster import ReexecutionOptions
from diaries import NORMAL, diary, mend, write_pipeline
from platform_jobs import launch
from platforms import DEADLINE_S, Platform

from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import RunAliveError
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.processes import require_dead
from elspeth_dagster.orchestration import ops
from elspeth_dagster.orchestration.definitions import build_definitions

PHASES = (
    "record_graph", "load_source", "process_shard", "plan_stage", "check_run", "publish_sink_of", "seal_run",
)  # fmt: skip
TALLIES = """SELECT node, measure, label, target, sum(count) AS n FROM tallies
             WHERE run_id = '{}' GROUP BY ALL ORDER BY ALL"""


def joins(folder: str) -> dict[str, Any]:
    """A pipeline with quarantine, fork, join, aggregation and routes that writes below a folder."""
    sinks = {
        name: {**sink, "options": {"path": f"{folder}/{Path(sink['options']['path']).name}"}}
        for name, sink in JOINS["sinks"].items()
    }
    return JOINS | {"sinks": sinks, "checkpoint": {"frequency": "every_n", "checkpoint_interval": 9}}


def failing_once_behind(function: Callable[..., Any], failed: set[Any]) -> Callable[..., Any]:
    """The function, but it raises the first time for what it was given, when its work is done."""

    def failing(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        given = (*args[1:], *(value for value in kwargs.values() if not callable(value)))
        key = (function.__name__, *given) if "check" not in function.__name__ else "check"
        if key not in failed:
            failed.add(key)
            raise OSError(f"just behind {function.__name__}")
        return result

    return failing


def test_counts_are_right_in_every_resume_path_and_a_run_is_finished_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{n},{'name' * (n % 3)}{n},{'' if n % 7 == 0 else n / 2}" for n in range(40)]
    lines[11] = "11,odd"
    platform.write("rows.csv", "\n".join(["id,name,value", *lines]) + "\n")
    alone = platform.completed(platform.pipeline("alone", joins("output_alone")))
    failed: set[Any] = set()
    with monkeypatch.context() as patched:
        for name in PHASES:
            patched.setattr(ops, name, failing_once_behind(getattr(ops, name), failed))
        answer = platform.run(platform.pipeline("joins", joins("output")))
        attempts = 1
        while platform.runs()[0]["status"] == "failed":
            attempts += 1
            answer = platform.resume(answer.json["run_id"])
            assert attempts < 20, answer.err

    # The last failure came behind the end of the run: that stays as it is, and is not reached again.
    assert answer.code == 1
    assert "just behind seal_run" in answer.err
    resumed = platform.resume(answer.json["run_id"])
    assert (resumed.code, resumed.json["attempts"]) == (0, attempts)
    assert counts(resumed.json) == counts(alone)
    assert platform.outputs() == platform.outputs("output_alone")
    run_id = resumed.json["run_id"]
    assert record(platform, run_id) == record(platform, alone["run_id"])
    assert platform.sql(TALLIES.format(run_id)) == platform.sql(TALLIES.format(alone["run_id"]))
    assert len(failed) == len(PHASES) + 1 + len(JOINS["sinks"]) - 1
    statuses = platform.sql(f"SELECT status FROM attempts WHERE run_id = '{run_id}' ORDER BY number")
    assert [row["status"] for row in statuses] == ["failed"] * (attempts - 1) + ["completed"]
    ends = platform.sql(f"SELECT attempt FROM commits WHERE run_id = '{run_id}' AND phase = 6")
    assert ends == [{"attempt": attempts}]
    made = platform.sql(f"""SELECT phase, node, count(DISTINCT attempt) AS attempts FROM commits
                            WHERE run_id = '{run_id}' AND phase IN (3, 4) GROUP BY ALL""")
    assert {row["attempts"] for row in made} == {1}


LATE = '''
import os
import time
from pathlib import Path

from elspeth_dagster.plugins import RowTransform


class Late(RowTransform):
    """Answers rows of odd numbers late, and breaks at row 3 once."""

    waits = True

    def process(self, row):
        broke = Path(os.environ["ELSPETH_ROOT"]) / "broke"
        if row["id"] == 3 and not broke.exists():
            broke.touch()
            raise ValueError("once")
        time.sleep(2 * (row["id"] % 2))
        return row
'''


@pytest.mark.parametrize("behind", ["a transform", "nothing"])
def test_a_resumed_run_counts_what_is_joined_when_branches_are_too_late(
    platform: Platform, behind: str
) -> None:
    """Both forms of the finding: with nodes behind the join, and with the sink right behind it."""
    platform.write("rows.csv", "id\n0\n1\n2\n3\n")
    platform.plugin("late", LATE)
    to = {} if behind == "a transform" else {"on_success": "out"}
    after = {"name": "after", "plugin": "passthrough", "input": "join", "on_success": "out",
             "on_error": "discard"}  # fmt: skip
    settings = platform.pipeline("late_ones", {
        "source": {"plugin": "csv", "on_success": "read",
                   "options": {"path": "rows.csv", "on_validation_failure": "discard",
                               "schema": {"mode": "fixed", "fields": ["id: int"]}}},
        "gates": [{"name": "ask", "input": "read", "condition": "True", "routes": {"true": "fork"},
                   "fork_to": ["slow", "quick"]}],
        "transforms": [
            {"name": "slow_one", "plugin": "late", "input": "slow", "on_success": "slow_done",
             "on_error": "discard"},
            {"name": "quick_one", "plugin": "passthrough", "input": "quick", "on_success": "quick_done",
             "on_error": "discard"},
            *([after] if behind == "a transform" else []),
        ],
        "coalesce": [{"name": "join", "branches": {"slow": "slow_done", "quick": "quick_done"},
                      "merge": "nested", "policy": "best_effort", "timeout_seconds": 1, **to}],
        "sinks": {"out": {"plugin": "json", "options": {"path": "output/out.jsonl"}}},
        "checkpoint": {"frequency": "every_n", "checkpoint_interval": 2},
    })  # fmt: skip
    failed = platform.run(settings)
    assert failed.code == 1

    resumed = platform.resume(failed.json["run_id"])

    assert resumed.code == 0, resumed.err
    told = {name: resumed.json[name] for name in ("rows_in", "succeeded", "failed", "quarantined")}
    assert told == {"rows_in": 4, "succeeded": 4, "failed": 2, "quarantined": 0}
    assert resumed.json["outcomes"] == {"coalesced": 6, "completed": 4, "failed": 2, "forked": 4}
    assert platform.outcomes(failed.json["run_id"]) == resumed.json["outcomes"]
    assert resumed.json["sinks"]["out"]["rows"] == platform.read("output/out.jsonl").count(b"\n") == 4


def breaking_at(row: int) -> str:
    return brittle.RAISES.replace("== 23", f"== {row}")


def write_tariffs(platform: Platform, plugin: str) -> Path:
    brittle.write_numbers(platform)
    platform.write("pipelines/tariffs/plugins/brittle.py", plugin)
    return platform.write("pipelines/tariffs/settings.yaml", settings_of("output"))


def test_progress_made_by_a_resume_is_kept_when_the_resume_dies_too(platform: Platform) -> None:
    run_id = platform.run(write_tariffs(platform, breaking_at(12))).json["run_id"]
    for row in (22, 34):
        write_tariffs(platform, breaking_at(row))
        assert platform.resume(run_id).code == 1
    write_tariffs(platform, brittle.MENDED)

    resumed = platform.resume(run_id)

    assert resumed.code == 0, resumed.err
    swept = platform.sql(
        "SELECT attempt, ordinal FROM commits WHERE phase = 4 AND node = 'stage_0' ORDER BY ordinal"
    )
    # Chunks are of five rows: what stands before the row at fault is never swept again.
    assert [row["attempt"] for row in swept] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert counts(resumed.json) == expected_counts()
    assert platform.outputs() == expected_outputs()


def test_plugins_are_closed_once_when_setting_up_fails_half_way_and_in_the_resume(platform: Platform) -> None:
    failed = platform.run(write_pipeline(platform, second=("open",)))
    assert failed.code == 1
    assert diary(platform) == [*NORMAL[:3], "first open", "second open", "second close", "first close"]

    mend(platform)
    resumed = platform.resume(failed.json["run_id"])

    assert resumed.code == 0, resumed.err
    assert diary(platform) == NORMAL[3:]


TROUBLED = '''
import os
from pathlib import Path

import dagster

from elspeth_dagster.plugins import RowTransform


class Troubled(RowTransform):
    """Raises at its first row of all, and cannot be closed after that."""

    troubled = False

    def process(self, row):
        once = Path(os.environ["ELSPETH_ROOT"]) / "once"
        if not once.exists():
            once.touch()
            self.troubled = True
            raise RAISED
        return row

    def close(self):
        with (Path(os.environ["ELSPETH_ROOT"]) / "closed").open("a") as closed:
            closed.write("x")
        if self.troubled:
            raise RuntimeError("cannot be closed")
'''


@pytest.mark.parametrize(
    ("raised", "code", "status"),
    [
        ('KeyError("first")', 1, "failed"),
        ('KeyboardInterrupt("first")', 3, "interrupted"),
        # A signal to try again later is no failure: the same attempt goes on.
        ("dagster.RetryRequested(max_retries=1, seconds_to_wait=0)", 0, "completed"),
    ],
    ids=["an_error", "an_interrupt", "a_retry_later_signal"],
)
def test_an_error_while_cleaning_up_hides_neither_the_first_one_nor_a_signal(
    platform: Platform, raised: str, code: int, status: str
) -> None:
    platform.write("rows.csv", "id\n0\n1\n")
    platform.plugin("troubled", TROUBLED.replace("RAISED", raised))
    settings = platform.pipeline("troubled", {
        "source": {"plugin": "csv", "on_success": "read",
                   "options": {"path": "rows.csv", "on_validation_failure": "discard",
                               "schema": {"mode": "observed"}}},
        "transforms": [{"name": "troubled", "plugin": "troubled", "input": "read", "on_success": "out",
                        "on_error": "discard"}],
        "sinks": {"out": {"plugin": "csv", "options": {"path": "output/out.csv"}}},
    })  # fmt: skip

    answer = platform.run(settings)

    assert (answer.code, answer.json["status"]) == (code, status), answer.err
    if status == "completed":
        with dg.DagsterInstance.get() as instance:
            (dagster_run_id,) = dagster_run_ids(platform, answer.json["run_id"])
            kinds = [log.dagster_event.event_type_value for log in instance.all_logs(dagster_run_id)
                     if log.dagster_event]  # fmt: skip
        assert kinds.count("STEP_UP_FOR_RETRY") == kinds.count("STEP_RESTARTED") == 1
    else:
        assert "first" in answer.json["error"]["message"]
        assert "cannot be closed" not in answer.json["error"]["message"]
    resumed = platform.resume(answer.json["run_id"])
    assert resumed.code == 0, resumed.err
    assert resumed.json["attempts"] == (1 if status == "completed" else 2)
    assert platform.outputs() == {"out.csv": b"id\r\n0\r\n1\r\n"}
    assert platform.read("closed") == b"xx"


OFF_LINE = (
    brittle.MENDED
    + '''
    def open(self, context):
        """Has no line before the file `go` is there."""
        if not (Path(os.environ["ELSPETH_ROOT"]) / "go").exists():
            raise ConnectionError("no line")
'''
)


def test_a_step_that_dagster_tries_again_keeps_its_attempt_and_others_out(platform: Platform) -> None:
    """A retry policy of a job that a user made over a pipeline's assets."""
    write_tariffs(platform, OFF_LINE)
    defs = build_definitions("pipelines")
    policy = dg.RetryPolicy(max_retries=1, delay=4)
    chosen = dg.AssetSelection.groups("tariffs")
    mine = dg.define_asset_job("mine", selection=chosen, op_retry_policy=policy)
    job = dg.Definitions.merge(defs, dg.Definitions(jobs=[mine])).resolve_job_def("mine")
    refusals: list[str] = []
    by_force: list[str] = []

    def asking() -> None:
        with Landscape.open(Location.parse(platform.path("landscape"))) as landscape:
            while not refusals:
                for run in reads.runs(landscape):
                    try:
                        with landscape.read() as connection:
                            require_dead(connection, run.run_id, lambda _: False, force=False)
                    except RunAliveError as refused:
                        if "waiting until" in str(refused):
                            by_force.append(forced(landscape, run.run_id))
                            refusals.append(str(refused))
                            platform.path("go").touch()

    def forced(landscape: Landscape, run_id: str) -> str:
        with landscape.read() as connection, pytest.raises(RunAliveError) as refused:
            require_dead(connection, run_id, lambda _: False, force=True)
        return str(refused.value)

    with dg.DagsterInstance.get() as instance, Landscape.open(Location.parse(platform.path("landscape"))):
        other = threading.Thread(target=asking, daemon=True)
        other.start()
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        other.join(timeout=DEADLINE_S)

    assert result.success
    assert "step process_0_0 waiting until" in refusals[0]
    assert f"process {os.getpid()}" in by_force[0], "who waits lives, so force does not give the step up"
    (run,) = platform.runs()
    assert (run["attempts"], run["status"]) == (1, "completed")
    assert counts(run) == expected_counts()


def test_a_run_whose_rows_are_all_quarantined_is_resumed_and_completes(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.write("in.csv", "id\nx\ny\nz\n")
    settings = platform.pipeline("sour", {
        "source": {"plugin": "csv", "on_success": "out",
                   "options": {"path": "in.csv", "on_validation_failure": "discard",
                               "schema": {"mode": "fixed", "fields": ["id: int"]}}},
        "sinks": {"out": {"plugin": "csv", "options": {"path": "output/out.csv"}}},
    })  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(ops, "process_shard", failing_once_behind(ops.process_shard, set()))
        failed = platform.run(settings)
    assert failed.code == 1

    resumed = platform.resume(failed.json["run_id"])

    assert resumed.code == 0, resumed.err
    assert resumed.json["outcomes"] == platform.outcomes(failed.json["run_id"]) == {"quarantined": 3}
    assert (resumed.json["rows_in"], resumed.json["quarantined"]) == (3, 3)


def test_definitions_used_twice_in_one_process_keep_nothing_of_the_run_before(platform: Platform) -> None:
    write_tariffs(platform, brittle.RAISES.replace(
        'row["id"] == 23', 'row["id"] == 23 and not (Path(os.environ["ELSPETH_ROOT"]) / "go").exists()'
    ))  # fmt: skip
    job = build_definitions("pipelines").resolve_job_def("tariffs")
    with dg.DagsterInstance.get() as instance:
        assert not job.execute_in_process(instance=instance, raise_on_error=False).success
        platform.path("go").touch()
        assert job.execute_in_process(instance=instance, raise_on_error=False).success

    second, first = platform.runs()
    assert (first["status"], second["status"], second["attempts"]) == ("failed", "completed", 1)
    assert counts(second) == expected_counts()
    assert platform.outputs() == expected_outputs()
    resumed = platform.resume(first["run_id"])
    assert resumed.code == 0, resumed.err
    assert counts(resumed.json) == expected_counts()


def test_a_run_is_never_completed_without_reading_and_processing_its_rows(platform: Platform) -> None:
    """Whatever steps Dagster is told to run."""
    settings = write_tariffs(platform, brittle.MENDED)
    platform.path("numbers.csv").rename(platform.path("gone.csv"))
    run_id = platform.run(settings).json["run_id"]
    platform.path("gone.csv").rename(platform.path("numbers.csv"))
    with dg.DagsterInstance.get() as instance:
        for step in ("publish_large", "seal_run"):
            parent = dagster_run_ids(platform, run_id)[-1]
            chosen = ReexecutionOptions(parent_run_id=parent, step_selection=[f"tariffs__run.{step}"])
            with launch("tariffs", instance, reexecution_options=chosen) as again:
                assert not again.success

    (run,) = platform.runs()
    assert (run["status"], run["attempts"], run["rows_in"]) == ("failed", 3, 0)
    assert not platform.path("output").exists()
    resumed = platform.resume(run_id)
    assert resumed.code == 0, resumed.err
    assert counts(resumed.json) == expected_counts()


def test_how_often_progress_is_told_can_be_chosen(platform: Platform) -> None:
    write_tariffs(platform, brittle.MENDED)
    chosen = settings_of("output") | {"dagster": {"progress_rows": 10, "progress_seconds": 3600}}

    answer = platform.run(platform.write("pipelines/tariffs/settings.yaml", chosen))

    assert answer.code == 0, answer.err
    told = [line for line in answer.err.splitlines() if line.endswith(" rows so far")]
    assert [line.split(": ")[1].split()[0] for line in told] == ["10", "20", "30", "40"] * 2
