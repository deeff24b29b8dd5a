"""One run at a time publishes for a pipeline; a run that nobody resumes is abandoned."""

from datetime import UTC, datetime, timedelta

import pytest
from landscape_drafts import request, source_draft
from sqlalchemy import select, update

from elspeth_dagster.landscape import reads, schema
from elspeth_dagster.landscape.abandon import abandon_run
from elspeth_dagster.landscape.attempts import close_attempt, complete_run, ensure_attempt
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, commit
from elspeth_dagster.landscape.errors import (
    FenceLostError,
    NoSuchRunError,
    RunAbandonedError,
    RunAliveError,
    SectionBusyError,
    SectionHeldError,
)
from elspeth_dagster.landscape.model import AttemptStatus, Phase, RunStatus
from elspeth_dagster.landscape.processes import beating
from elspeth_dagster.landscape.section import enter_section

SEAL = CommitDraft(CommitKey(Phase.DONE, "run", 0), extra_content={"rows_in": 3})


@pytest.fixture
def other(landscape, attempt):
    """A second run of the same pipeline, at work in this process too."""
    return ensure_attempt(landscape, request("other"))


def holders(landscape):
    with landscape.read() as connection:
        return connection.execute(select(schema.ops_locks.c.name, schema.ops_locks.c.run_id)).all()


def refuse(line):
    raise AssertionError(line)


def test_a_run_enters_once_and_completing_it_leaves(landscape, attempt, other):
    enter_section(landscape, attempt, say=refuse)
    enter_section(landscape, attempt, say=refuse)
    assert holders(landscape) == [("publishing orders", attempt.run_id)]
    assert complete_run(landscape, attempt, SEAL)
    assert holders(landscape) == []
    enter_section(landscape, other, say=refuse)
    assert holders(landscape) == [("publishing orders", other.run_id)]


def test_another_pipeline_has_a_section_of_its_own(landscape, attempt):
    returns = ensure_attempt(landscape, request("r1", pipeline="returns"))
    enter_section(landscape, attempt, say=refuse)
    enter_section(landscape, returns, say=refuse)
    assert len(holders(landscape)) == 2


def test_a_run_waits_for_one_at_work_says_so_now_and_then_and_enters_when_it_is_done(
    landscape, attempt, other
):
    enter_section(landscape, attempt, say=refuse)
    said, waited = [], []

    def pause(seconds):
        waited.append(seconds)
        if sum(waited) >= 61:
            complete_run(landscape, attempt, SEAL)

    enter_section(landscape, other, say=said.append, pause=pause)
    assert holders(landscape) == [("publishing orders", other.run_id)]
    assert len(said) == 3
    assert f"run {attempt.run_id} of this pipeline is publishing (attempt 1 on " in said[0]


def test_the_wait_has_a_limit(landscape, attempt, other):
    enter_section(landscape, attempt, say=refuse)
    with pytest.raises(SectionBusyError, match=rf"{attempt.run_id} has been publishing for 5 s") as caught:
        enter_section(landscape, other, say=lambda _line: None, pause=lambda _s: None, limit_s=5)
    assert caught.value.retryable


def die(landscape, attempt):
    with landscape.transaction() as connection:
        of_it = schema.ops_processes.c.run_id == attempt.run_id
        connection.execute(update(schema.ops_processes).where(of_it).values(process_started="long ago"))


def test_a_run_whose_processes_are_gone_is_waited_for_as_long_as_it_may_be_continued(
    landscape, attempt, other
):
    enter_section(landscape, attempt, say=refuse)
    die(landscape, attempt)
    said, waited = [], []
    with pytest.raises(SectionHeldError, match="its processes are gone") as caught:
        enter_section(landscape, other, say=said.append, pause=waited.append, orphaned_s=lambda _run: 10)
    assert (sum(waited), caught.value.awaited) == (10, True)
    assert "its processes are gone; Dagster's daemon is to continue it within 10 s" in said[0]

    def pause(seconds):
        waited.append(seconds)
        if len(waited) == 10:
            again = request("d3", run_id=attempt.run_id, dagster_finished=lambda _run: True)
            continued.append(ensure_attempt(landscape, again))
        elif len(waited) == 60:
            complete_run(landscape, continued[0], SEAL)

    waited, continued = [], []
    enter_section(landscape, other, say=said.append, pause=pause, orphaned_s=lambda _run: 10)
    assert len(waited) == 60
    assert holders(landscape) == [("publishing orders", other.run_id)]


@pytest.mark.parametrize("ending", ["failed", "dead"])
def test_a_dead_holder_is_named_with_its_two_ways_out(landscape, attempt, other, ending):
    enter_section(landscape, attempt, say=refuse)
    if ending == "failed":
        close_attempt(landscape, attempt, status=AttemptStatus.FAILED)
    else:
        die(landscape, attempt)
    with pytest.raises(SectionHeldError) as caught:
        enter_section(landscape, other, say=refuse, orphaned_s=lambda _run: 60 if ending == "failed" else 0)
    assert not caught.value.awaited
    for words in (f"elspeth resume {attempt.run_id}", f"elspeth abandon {attempt.run_id}"):
        assert words in str(caught.value)
    abandon_run(landscape, attempt.run_id, by="ann", dagster_finished=lambda _run: None)
    enter_section(landscape, other, say=refuse)


def test_a_superseded_attempt_does_not_enter(landscape, attempt):
    ensure_attempt(landscape, request("d2", run_id=attempt.run_id, dagster_finished=lambda _run: True))
    with pytest.raises(FenceLostError):
        enter_section(landscape, attempt, say=refuse)
    assert holders(landscape) == []


def test_an_abandoned_run_commits_nothing_and_is_not_continued(landscape, attempt):
    commit(landscape, attempt, source_draft(0))
    enter_section(landscape, attempt, say=refuse)
    close_attempt(landscape, attempt, status=AttemptStatus.FAILED, error={"node": "out"})
    before = reads.attempts(landscape, attempt.run_id)

    done = abandon_run(landscape, attempt.run_id, by="ann@here", dagster_finished=lambda _run: None)

    assert (done.status, done.changed) == (RunStatus.ABANDONED, True)
    assert reads.run(landscape, attempt.run_id).status is RunStatus.ABANDONED
    assert reads.attempts(landscape, attempt.run_id) == before
    assert holders(landscape) == []
    with landscape.read() as connection:
        line = connection.execute(select(schema.phases).where(schema.phases.c.status == "abandoned")).one()
    assert (line.run_id, line.detail) == (attempt.run_id, {"by": "ann@here"})
    with pytest.raises(FenceLostError, match="the run was abandoned"):
        commit(landscape, attempt, source_draft(1))
    for asked in (request("d2", run_id=attempt.run_id), request()):
        with pytest.raises(RunAbandonedError, match="start a new run"):
            ensure_attempt(landscape, asked)
    again = abandon_run(landscape, attempt.run_id, by="bob", dagster_finished=lambda _run: None)
    assert (again.status, again.changed) == (RunStatus.ABANDONED, False)


def test_a_living_run_and_a_completed_one_are_not_abandoned(landscape, attempt):
    with pytest.raises(RunAliveError, match="attempt 1 is alive"):
        abandon_run(landscape, attempt.run_id, by="ann", dagster_finished=lambda _run: False)
    assert reads.run(landscape, attempt.run_id).status is RunStatus.RUNNING
    complete_run(landscape, attempt, SEAL)
    done = abandon_run(landscape, attempt.run_id, by="ann", dagster_finished=lambda _run: True)
    assert (done.status, done.changed) == (RunStatus.COMPLETED, False)
    with pytest.raises(NoSuchRunError):
        abandon_run(landscape, "nope", by="ann", dagster_finished=lambda _run: True)


def test_a_process_at_work_says_now_and_then_that_it_lives(landscape, attempt):
    with landscape.transaction() as connection:
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        connection.execute(update(schema.ops_processes).values(registered_at=hour_ago))

    def beats():
        with landscape.read() as connection:
            return connection.execute(select(schema.ops_heartbeats.c.beat_at)).scalars().all()

    assert beats() == []
    with beating(landscape, attempt, every_s=0.01):
        while not beats():
            pass
    (last,) = beats()
    assert datetime.now(UTC) - last < timedelta(minutes=1)
    (unchanged,) = beats()
    assert unchanged == last
