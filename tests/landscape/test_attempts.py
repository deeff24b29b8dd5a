import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from landscape_drafts import processes_context, request, source_draft, sweep_draft
from sqlalchemy import select, update

from elspeth_dagster.landscape import reads, schema
from elspeth_dagster.landscape.attempts import close_attempt, complete_run, ensure_attempt, log_phase
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, commit
from elspeth_dagster.landscape.errors import (
    AttemptRefusedError,
    FenceLostError,
    HeldByNewerError,
    NoSuchRunError,
    RecordFormatError,
    RunAliveError,
    SettingsChangedError,
    SupersededError,
    WrongPipelineError,
)
from elspeth_dagster.landscape.model import AttemptStatus, Phase, PhaseStatus, RunStatus
from elspeth_dagster.landscape.processes import Liveness, beat, identify, liveness, state_of, wait_until

SEAL = CommitDraft(CommitKey(Phase.DONE, "run", 0), extra_content={"rows_in": 3})


def finished(*runs):
    return lambda run: run in runs


def resume(parent="d1", **changes):
    """A re-execution from failure of a Dagster run that is over."""
    changes = {"dagster_finished": finished(parent), **changes}
    return request("d2", parent_dagster_runs=(parent,), continues=True, **changes)


def snapshot(landscape):
    """Everything in the record's tables."""
    tables = [table for table in schema.metadata.sorted_tables if not table.name.startswith("ops_")]
    with landscape.read() as connection:
        return {table.name: connection.execute(select(table)).all() for table in tables}


def test_the_first_attempt_makes_the_run(landscape):
    attempt = ensure_attempt(landscape, request())
    run = reads.run(landscape, attempt.run_id)
    assert (attempt.number, attempt.status, attempt.pipeline) == (1, AttemptStatus.RUNNING, "orders")
    assert (run.status, run.fence, run.record_format) == (RunStatus.RUNNING, 1, "elspeth/1")
    assert (run.settings, run.launch) == ({"source": "csv"}, {"limit": None})
    assert run.created_at == attempt.run_created_at == attempt.started_at
    assert run.created_at.tzinfo is not None
    (row,) = reads.attempts(landscape, attempt.run_id)
    assert (row.dagster_run_id, row.engine_version, row.code) == ("d1", "0.1.0", {"gate": "abc"})


def test_asking_again_gives_the_same_attempt_and_changes_nothing(landscape, attempt):
    before = snapshot(landscape)
    assert ensure_attempt(landscape, request()) == attempt
    assert snapshot(landscape) == before
    assert len(liveness(landscape, attempt.run_id)) == 1


def test_each_process_that_asks_is_registered(landscape, attempt):
    ensure_attempt(landscape, request(other_pids=(os.getppid(),)))
    assert {state.process.pid for state in liveness(landscape, attempt.run_id)} == {os.getpid(), os.getppid()}


def test_two_pipelines_in_one_dagster_run_are_two_runs(landscape, attempt):
    other = ensure_attempt(landscape, request(pipeline="returns"))
    assert other.run_id != attempt.run_id
    assert reads.run_of_dagster_run(landscape, "d1", "returns") == other.run_id
    assert reads.run_of_dagster_run(landscape, "d1", "orders") == attempt.run_id
    assert reads.run_of_dagster_run(landscape, "d1", "unknown") is None


def test_a_re_execution_from_failure_continues_the_run(landscape, attempt):
    close_attempt(landscape, attempt, status=AttemptStatus.FAILED, error={"node": "gate"})
    resumed = ensure_attempt(landscape, resume(code={"gate": "new"}))
    assert (resumed.run_id, resumed.number) == (attempt.run_id, 2)
    assert resumed.run_created_at == attempt.run_created_at
    assert resumed.code_digest != attempt.code_digest
    assert reads.run(landscape, attempt.run_id).status is RunStatus.RUNNING
    first, second = reads.attempts(landscape, attempt.run_id)
    assert (first.status, first.error) == (AttemptStatus.FAILED, {"node": "gate"})
    assert (second.status, second.parent_dagster_run_id) == (AttemptStatus.RUNNING, "d1")


def test_re_executing_everything_starts_a_new_run(landscape, attempt):
    other = ensure_attempt(landscape, request("d2", parent_dagster_runs=("d1",), continues=False))
    assert other.run_id != attempt.run_id


def test_the_nearest_ancestor_with_an_attempt_on_the_pipeline_counts(landscape, attempt):
    close_attempt(landscape, attempt, status=AttemptStatus.FAILED)
    asked = request("d4", parent_dagster_runs=("d3", "d2", "d1"), continues=True)
    assert ensure_attempt(landscape, asked).run_id == attempt.run_id
    unrelated = request("d9", parent_dagster_runs=("d8",), continues=True)
    assert ensure_attempt(landscape, unrelated).run_id != attempt.run_id


def test_a_run_can_be_named(landscape, attempt):
    close_attempt(landscape, attempt, status=AttemptStatus.INTERRUPTED)
    assert ensure_attempt(landscape, request("d2", run_id=attempt.run_id)).number == 2
    with pytest.raises(NoSuchRunError, match="no run 'nope'"):
        ensure_attempt(landscape, request("d3", run_id="nope"))
    with pytest.raises(WrongPipelineError, match=r"pipeline 'orders'.*'returns' cannot"):
        ensure_attempt(landscape, request("d3", pipeline="returns", run_id=attempt.run_id))


def test_an_ancestor_whose_newer_child_holds_the_run_is_refused(landscape, attempt):
    ensure_attempt(landscape, resume())
    asked = request("d3", parent_dagster_runs=("d1",), continues=True, dagster_finished=finished("d1", "d2"))
    before = snapshot(landscape)
    with pytest.raises(HeldByNewerError, match=r"attempt 2 \(Dagster run d2\) holds the run"):
        ensure_attempt(landscape, asked)
    assert snapshot(landscape) == before


def test_a_superseded_dagster_run_is_refused(landscape, attempt):
    ensure_attempt(landscape, resume())
    assert reads.attempts(landscape, attempt.run_id)[0].status is AttemptStatus.SUPERSEDED
    with pytest.raises(SupersededError, match=r"attempt 1 \(Dagster run d1\) was superseded by attempt 2"):
        ensure_attempt(landscape, request())


def test_changed_settings_are_refused_with_the_difference(landscape, attempt):
    close_attempt(landscape, attempt, status=AttemptStatus.FAILED)
    before = snapshot(landscape)
    with pytest.raises(SettingsChangedError, match=r"source: .*csv.* became .*json") as caught:
        ensure_attempt(landscape, resume(settings={"source": "json"}))
    assert caught.value.differences == ("source: {'source': 'csv'} became {'source': 'json'}",)
    assert snapshot(landscape) == before


def test_a_run_of_another_record_format_is_refused(landscape, attempt):
    close_attempt(landscape, attempt, status=AttemptStatus.FAILED)
    with landscape.transaction() as connection:
        connection.execute(update(schema.runs).values(record_format="elspeth/7"))
    with pytest.raises(RecordFormatError, match=r"elspeth/7.*elspeth/1"):
        ensure_attempt(landscape, resume())


def test_a_live_run_is_refused_with_the_facts(landscape, attempt):
    beat(landscape, attempt)
    before = snapshot(landscape)
    facts = rf"attempt 1 is alive on .+, process {os.getpid()}, heartbeat \d+ s ago.*nothing was killed"
    with pytest.raises(RunAliveError, match=facts):
        ensure_attempt(landscape, resume(dagster_finished=finished()))
    assert snapshot(landscape) == before


def test_an_attempt_that_one_step_ended_is_alive_while_others_of_it_work(landscape, attempt):
    close_attempt(landscape, attempt, status=AttemptStatus.FAILED)
    with pytest.raises(RunAliveError, match=f"process {os.getpid()}"):
        ensure_attempt(landscape, resume(dagster_finished=lambda _run: False))
    assert ensure_attempt(landscape, resume(dagster_finished=lambda _run: None)).number == 2


def test_a_step_that_waits_to_be_tried_again_keeps_the_run(landscape, attempt):
    with landscape.transaction() as connection:
        connection.execute(update(schema.ops_processes).values(boot_id="an-earlier-boot"))
    wait_until(landscape, attempt, step="process_0_0", until=datetime.now(UTC) + timedelta(minutes=5))
    with pytest.raises(RunAliveError, match=r"step process_0_0 waiting until .* UTC to be tried again"):
        ensure_attempt(landscape, resume(dagster_finished=finished()))
    wait_until(landscape, attempt, step="process_0_0", until=datetime.now(UTC) - timedelta(minutes=5))
    assert ensure_attempt(landscape, resume(dagster_finished=finished())).number == 2


def test_a_step_that_waits_is_given_up_by_force_but_no_living_process(landscape, attempt):
    wait_until(landscape, attempt, step="process_0_0", until=datetime.now(UTC) + timedelta(hours=6))
    forced = resume(dagster_finished=finished(), force=True)
    with pytest.raises(RunAliveError, match=f"process {os.getpid()}"):
        ensure_attempt(landscape, forced)
    with landscape.transaction() as connection:
        connection.execute(update(schema.ops_processes).values(boot_id="an-earlier-boot"))
    assert ensure_attempt(landscape, forced).number == 2


def test_a_process_of_another_host_is_given_up_only_by_force_and_when_silent(landscape, attempt):
    asked = resume(dagster_finished=finished())
    with landscape.transaction() as connection:
        connection.execute(update(schema.ops_processes).values(host="elsewhere"))
    assert [state.liveness for state in liveness(landscape, attempt.run_id)] == [Liveness.UNKNOWN]
    for forced in (False, True):
        with pytest.raises(RunAliveError, match="on elsewhere"):
            ensure_attempt(landscape, resume(dagster_finished=finished(), force=forced))
    with landscape.transaction() as connection:
        long_ago = datetime.now(UTC) - timedelta(seconds=61)
        connection.execute(update(schema.ops_processes).values(registered_at=long_ago))
    with pytest.raises(RunAliveError, match=r"heartbeat \d+ s ago"):
        ensure_attempt(landscape, asked)
    assert ensure_attempt(landscape, resume(dagster_finished=finished(), force=True)).number == 2


def test_a_process_of_another_container_is_not_taken_for_dead(landscape, attempt):
    here = identify()
    boot = here.boot_id.partition(" ")[0]
    with landscape.transaction() as connection:
        connection.execute(update(schema.ops_processes).values(boot_id=f"{boot} pid:[1]", pid=1))
    assert [state.liveness for state in liveness(landscape, attempt.run_id)] == [Liveness.UNKNOWN]
    with pytest.raises(RunAliveError):
        ensure_attempt(landscape, resume(dagster_finished=finished()))


def test_a_process_of_another_machine_of_the_same_name_is_not_taken_for_dead(landscape, attempt):
    def started_on(machine):
        boot_id = f"another-boot pid:[1] {machine}"
        with landscape.transaction() as connection:
            connection.execute(update(schema.ops_processes).values(boot_id=boot_id))
        (state,) = liveness(landscape, attempt.run_id)
        return state.liveness

    here = identify().boot_id.split(" ")
    if len(here) == 3:
        assert started_on("another") is Liveness.UNKNOWN
        assert started_on(here[2]) is Liveness.DEAD
    assert started_on("") is Liveness.DEAD


HOLD = """
import sys, time
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from landscape_drafts import request
from elspeth_dagster.landscape.attempts import ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.location import Location
with Landscape.open(Location.parse(sys.argv[1], segments=Path(sys.argv[2]))) as landscape:
    ensure_attempt(landscape, request("d1"))
    print("held", flush=True)
    time.sleep(600)
"""


def hold(location):
    """A process that holds a run's first attempt."""
    where = location.url if location.database is None else f"sqlite:///{location.database}"
    command = [sys.executable, "-c", HOLD, where, location.segments, Path(__file__).parent]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_killed_process_is_dead_at_once_and_before_it_is_reaped(landscape):
    process = hold(landscape.location)
    try:
        run_id = reads.run_of_dagster_run(landscape, "d1", "orders")
        assert [state.liveness for state in liveness(landscape, run_id)] == [Liveness.ALIVE]
        with pytest.raises(RunAliveError, match=f"process {process.pid}"):
            ensure_attempt(landscape, resume(dagster_finished=finished()))
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert [state.liveness for state in liveness(landscape, run_id)] == [Liveness.DEAD]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert ensure_attempt(landscape, resume(dagster_finished=finished())).number == 2


def test_a_number_that_was_given_to_another_process_is_not_the_one_before():
    here = identify()
    assert state_of(here) is Liveness.ALIVE
    later = type(here)(here.host, here.pid, here.started + "0", here.boot_id)
    other_boot = type(here)(here.host, here.pid, here.started, "another boot")
    assert state_of(later) is Liveness.DEAD
    assert state_of(other_boot) is Liveness.DEAD
    assert identify(2**22 + 1) is None


def _race(location, dagster_run_id, barrier, results):
    with Landscape.open(location) as landscape:
        barrier.wait()
        asked = request(
            dagster_run_id, parent_dagster_runs=("d1",), continues=True, dagster_finished=finished("d1")
        )
        try:
            results.put(("won", ensure_attempt(landscape, asked).number))
        except AttemptRefusedError as error:
            results.put(("lost", str(error)))
        barrier.wait()


def test_of_two_processes_that_resume_at_once_one_wins(landscape, attempt):
    outcomes = _run_race(landscape, ["d2", "d3"])
    assert [outcome[0] for outcome in outcomes] == ["lost", "won"]
    assert outcomes[1] == ("won", 2)
    assert "holds the run" in outcomes[0][1]
    assert len(reads.attempts(landscape, attempt.run_id)) == 2


def test_two_processes_of_one_dagster_run_get_one_attempt(landscape, attempt):
    assert _run_race(landscape, ["d2", "d2"]) == [("won", 2), ("won", 2)]
    assert len(liveness(landscape, attempt.run_id)) == 2


def _run_race(landscape, dagster_runs):
    spawn = processes_context()
    barrier, results = spawn.Barrier(len(dagster_runs)), spawn.Queue()
    processes = [
        spawn.Process(target=_race, args=(landscape.location, run, barrier, results)) for run in dagster_runs
    ]
    for process in processes:
        process.start()
    outcomes = sorted(results.get(timeout=300) for _ in processes)
    for process in processes:
        process.join()
    return outcomes


def test_closing_counts_only_for_the_attempt_at_work(landscape, attempt):
    resumed = ensure_attempt(landscape, resume())
    close_attempt(landscape, attempt, status=AttemptStatus.FAILED, error={"late": True})
    first, second = reads.attempts(landscape, attempt.run_id)
    assert (first.status, first.error) == (AttemptStatus.SUPERSEDED, None)
    assert second.status is AttemptStatus.RUNNING
    assert reads.run(landscape, attempt.run_id).status is RunStatus.RUNNING
    close_attempt(landscape, resumed, status=AttemptStatus.INTERRUPTED)
    close_attempt(landscape, resumed, status=AttemptStatus.FAILED)
    assert reads.run(landscape, attempt.run_id).status is RunStatus.INTERRUPTED


def test_a_run_is_completed_once(landscape, attempt):
    assert complete_run(landscape, attempt, SEAL, counts={"rows_in": 3}) is True
    run = reads.run(landscape, attempt.run_id)
    assert (run.status, run.counts) == (RunStatus.COMPLETED, {"rows_in": 3})
    assert reads.attempts(landscape, attempt.run_id)[0].status is AttemptStatus.COMPLETED
    before = snapshot(landscape)
    assert complete_run(landscape, attempt, SEAL, counts={"rows_in": 4}) is False
    close_attempt(landscape, attempt, status=AttemptStatus.FAILED)
    assert snapshot(landscape) == before


def test_an_attempt_that_had_failed_can_still_complete_its_run(landscape, attempt):
    close_attempt(landscape, attempt, status=AttemptStatus.FAILED, error={"flaky": True})
    assert complete_run(landscape, attempt, SEAL) is True
    assert reads.run(landscape, attempt.run_id).status is RunStatus.COMPLETED


def test_another_attempt_on_a_completed_run_changes_nothing(landscape, attempt):
    commit(landscape, attempt, source_draft())
    complete_run(landscape, attempt, SEAL)
    before = snapshot(landscape)
    for asked in (request(), resume(), request("d5", run_id=attempt.run_id), resume(settings={"other": 1})):
        seen = ensure_attempt(landscape, asked)
        assert (seen.run_id, seen.number, seen.status) == (attempt.run_id, 1, AttemptStatus.COMPLETED)
        assert commit(landscape, seen, source_draft()) is False
        with pytest.raises(FenceLostError, match="the run is completed"):
            commit(landscape, seen, sweep_draft())
    assert snapshot(landscape) == before


def test_an_old_ancestor_of_a_completed_run_sees_it_completed(landscape, attempt):
    resumed = ensure_attempt(landscape, resume())
    complete_run(landscape, resumed, SEAL)
    again = request("d3", parent_dagster_runs=("d1",), continues=True)
    assert ensure_attempt(landscape, again).status is AttemptStatus.COMPLETED
    assert ensure_attempt(landscape, request()).status is AttemptStatus.COMPLETED


def test_a_superseded_attempt_cannot_complete_the_run(landscape, attempt):
    ensure_attempt(landscape, resume())
    before = snapshot(landscape)
    with pytest.raises(FenceLostError, match="attempt 2 holds the run now"):
        complete_run(landscape, attempt, SEAL)
    assert snapshot(landscape) == before


def test_phases_are_logged_in_order(landscape, attempt):
    log_phase(landscape, attempt, Phase.SOURCE, "load_source", PhaseStatus.STARTED)
    log_phase(landscape, attempt, Phase.SOURCE, "load_source", PhaseStatus.FAILED, {"error": "no file"})
    with landscape.read() as connection:
        rows = connection.execute(select(schema.phases).order_by(schema.phases.c.phase_id)).all()
    assert [(row.phase, row.status, row.detail) for row in rows] == [
        (3, "started", None),
        (3, "failed", {"error": "no file"}),
    ]


def test_runs_are_listed_newest_first(landscape):
    ids = [ensure_attempt(landscape, request(f"d{n}", pipeline=f"p{n % 2}")).run_id for n in range(4)]
    assert [run.run_id for run in reads.runs(landscape)] == ids[::-1]
    assert [run.run_id for run in reads.runs(landscape, limit=2)] == ids[:1:-1]
    assert [run.run_id for run in reads.runs(landscape, pipeline="p1")] == [ids[3], ids[1]]
    launch = {"limit": None, "partition": "2026-01-02"}
    of_day = ensure_attempt(landscape, request("d4", pipeline="p1", launch=launch)).run_id
    assert [run.run_id for run in reads.runs(landscape, partition="2026-01-02")] == [of_day]
    assert reads.runs(landscape, pipeline="p0", partition="2026-01-02") == []
    with pytest.raises(NoSuchRunError):
        reads.run(landscape, "nope")
