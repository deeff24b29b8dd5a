import pytest
from landscape_drafts import files_of, part, request, source_draft, sweep_draft
from sqlalchemy import func, select

from elspeth_dagster.landscape import reads, schema
from elspeth_dagster.landscape.attempts import complete_run, ensure_attempt
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, attempt_file, attempt_folder, commit
from elspeth_dagster.landscape.errors import FenceLostError, NotCompletedError, SourceFrozenError
from elspeth_dagster.landscape.leftovers import delete_parts, drop_source_chunks, sweep_attempt_leftovers
from elspeth_dagster.landscape.model import Phase

PROCESS = CommitKey(Phase.PROCESS, "stage_0", 0)
SEAL = CommitDraft(CommitKey(Phase.DONE, "run", 0))


def next_attempt(landscape, attempt, dagster_run_id="d2"):
    return ensure_attempt(
        landscape, request(dagster_run_id, run_id=attempt.run_id, dagster_finished=lambda _run: True)
    )


def test_what_dead_attempts_did_not_commit_goes_and_what_they_committed_stays(landscape, attempt):
    committed_part = part(landscape, attempt, PROCESS)
    commit(landscape, attempt, sweep_draft(parts=(committed_part,)))
    kept = files_of(landscape, attempt)
    part(landscape, attempt, PROCESS, content=b"never committed")
    attempt_file(landscape, attempt, PROCESS, "tokens", ".parquet").write_bytes(b"half a segment")
    empty = next_attempt(landscape, attempt, "d2")
    attempt_folder(landscape, empty)
    live = next_attempt(landscape, attempt, "d3")
    mine = part(landscape, live, PROCESS, content=b"being written")
    assert sweep_attempt_leftovers(landscape, live) == 2
    assert files_of(landscape, attempt) == sorted([*kept, f"3/{mine.path.name}"])
    assert sorted(path.name for path in (landscape.location.segments / attempt.run_id).iterdir()) == [
        "1",
        "3",
    ]
    for segment in reads.segments_of(landscape, attempt.run_id):
        reads.read_segment(landscape, segment)
    assert sweep_attempt_leftovers(landscape, live) == 0


def test_there_may_be_nothing_to_sweep(landscape, attempt):
    assert sweep_attempt_leftovers(landscape, attempt) == 0


def test_other_runs_are_left_alone(landscape, attempt):
    other = ensure_attempt(landscape, request("d7", pipeline="returns"))
    stray = part(landscape, other, PROCESS)
    live = next_attempt(landscape, attempt)
    complete_run(landscape, live, SEAL)
    sweep_attempt_leftovers(landscape, live)
    delete_parts(landscape, attempt.run_id)
    assert stray.path.exists()


def test_parts_go_after_completion_and_not_before(landscape, attempt):
    commit(landscape, attempt, sweep_draft(parts=(part(landscape, attempt, PROCESS),)))
    part(landscape, attempt, PROCESS, content=b"rubbish")
    with pytest.raises(NotCompletedError, match="not completed but running"):
        delete_parts(landscape, attempt.run_id)
    complete_run(landscape, attempt, SEAL)
    assert delete_parts(landscape, attempt.run_id) == 2
    segments = reads.segments_of(landscape, attempt.run_id)
    assert files_of(landscape, attempt) == sorted(segment.path.split("/", 1)[1] for segment in segments)
    assert len(reads.parts(landscape, attempt.run_id, "out")) == 1
    assert delete_parts(landscape, attempt.run_id) == 0


def test_an_export_that_is_being_written_is_spared(landscape, attempt):
    complete_run(landscape, attempt, SEAL)
    export = attempt_file(landscape, attempt, CommitKey(Phase.EXPORT, "audit", 0), "rows", ".parquet")
    export.write_bytes(b"being written")
    delete_parts(landscape, attempt.run_id)
    assert export.exists()


def test_a_source_can_be_read_again_from_its_start(landscape, attempt):
    for ordinal in range(3):
        commit(landscape, attempt, source_draft(ordinal))
    assert drop_source_chunks(landscape, attempt) == 3
    assert reads.chunks(landscape, attempt.run_id, 0) == []
    assert files_of(landscape, attempt) == []
    with landscape.read() as connection:
        for table in (schema.commits, schema.segments, schema.chunks):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0
    assert commit(landscape, attempt, source_draft(0, texts=["other", "texts", "now"])) is True


@pytest.mark.parametrize(
    "later",
    [
        sweep_draft(),
        CommitDraft(
            CommitKey(Phase.SOURCE, "source", 1), markers={"end_of_source": {"chunks": 1, "rows": 3}}
        ),
    ],
    ids=["a sweep", "its end"],
)
def test_a_source_on_which_something_stands_is_final(landscape, attempt, later):
    commit(landscape, attempt, source_draft())
    commit(landscape, attempt, later)
    with pytest.raises(SourceFrozenError, match="start a new run"):
        drop_source_chunks(landscape, attempt)
    assert len(reads.chunks(landscape, attempt.run_id, 0)) == 1


def test_only_who_holds_the_run_can_drop_its_source(landscape, attempt):
    commit(landscape, attempt, source_draft())
    next_attempt(landscape, attempt)
    with pytest.raises(FenceLostError):
        drop_source_chunks(landscape, attempt)
    assert len(reads.chunks(landscape, attempt.run_id, 0)) == 1
