import os
from dataclasses import replace

import pytest
from landscape_drafts import files_of, part, request, source_draft, sweep_draft
from sqlalchemy import func, insert, select, update

from elspeth_dagster.landscape import purge as purging
from elspeth_dagster.landscape import reads, schema
from elspeth_dagster.landscape.abandon import abandon_run
from elspeth_dagster.landscape.attempts import complete_run, ensure_attempt
from elspeth_dagster.landscape.beside import note_beside
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, attempt_file, attempt_folder, commit
from elspeth_dagster.landscape.errors import (
    FenceLostError,
    NoSuchRunError,
    NotCompletedError,
    SourceFrozenError,
)
from elspeth_dagster.landscape.leftovers import delete_parts, drop_source_chunks, sweep_attempt_leftovers
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.landscape.purge import purge

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


def draft_beside(landscape, attempt, folder, content=b"half"):
    """What a publish that was killed leaves beside its target."""
    folder.mkdir(exist_ok=True)
    path = folder / f".rows.csv.elspeth-{attempt.run_id}-out.{attempt.number}-0badcafe.tmp"
    note_beside(landscape, attempt, CommitKey(Phase.SINK, "out", 0), path)
    path.write_bytes(content)
    return path


def die(landscape):
    """Every process that was registered is dead from now on."""
    with landscape.transaction() as connection:
        connection.execute(update(schema.ops_processes).values(process_started="before the flood"))


def test_a_draft_beside_a_target_goes_with_the_attempt_that_wrote_it(landscape, attempt, tmp_path):
    old = draft_beside(landscape, attempt, tmp_path / "out")
    live = next_attempt(landscape, attempt)
    young = draft_beside(landscape, live, tmp_path / "out")
    assert sweep_attempt_leftovers(landscape, live) == 2
    assert (old.exists(), young.exists()) == (False, True)
    abandoned = abandon_run(landscape, live.run_id, by="me", dagster_finished=lambda _run: True)
    assert (abandoned.removed, young.exists(), files_of(landscape, attempt)) == (2, False, [])


@pytest.mark.parametrize("name", ["victim.csv", ".elspeth-or-not.csv", "half-a-na"])
def test_a_note_that_names_no_draft_removes_only_itself(landscape, attempt, tmp_path, name):
    note = note_beside(landscape, attempt, CommitKey(Phase.SINK, "out", 0), tmp_path / ".elspeth-x.tmp")
    (tmp_path / name).write_bytes(b"not ours")
    note.write_bytes(os.fsencode(tmp_path / name))
    assert sweep_attempt_leftovers(landscape, next_attempt(landscape, attempt)) == 1
    assert (tmp_path / name).exists()
    assert files_of(landscape, attempt) == []


def test_a_purge_takes_what_the_dead_left_and_nothing_that_lives_or_is_committed(
    landscape, attempt, tmp_path
):
    committed = part(landscape, attempt, PROCESS)
    commit(landscape, attempt, sweep_draft(parts=(committed,)))
    kept = files_of(landscape, attempt)
    part(landscape, attempt, PROCESS, content=b"stray")
    draft_beside(landscape, attempt, tmp_path / "out")
    live = next_attempt(landscape, attempt)
    mine = part(landscape, live, PROCESS, content=b"being written")
    beside = draft_beside(landscape, live, tmp_path / "out")

    foretold = purge(landscape, None, dry_run=True)
    purged = purge(landscape, None)
    # How long ago a process gave a sign is counted anew.
    assert [replace(run, signs=()) for run in foretold.runs] == [
        replace(run, signs=()) for run in purged.runs
    ]
    assert foretold.locks == purged.locks
    (run,) = purged.runs
    assert (run.run_id, run.files, run.at_work) == (attempt.run_id, 3, 2)
    assert f"process {os.getpid()}" in run.signs[0]
    assert mine.path.exists()
    assert beside.exists()
    assert [path for path in files_of(landscape, attempt) if path.startswith("1/")] == kept

    die(landscape)
    (run,) = purge(landscape, attempt.run_id).runs
    assert (run.files, run.at_work) == (3, None)
    assert run.size_bytes == len(b"being written") + len(b"half") + len(os.fsencode(beside))
    assert not beside.exists()
    assert files_of(landscape, attempt) == kept
    assert committed.path.exists()
    assert commit(landscape, live, sweep_draft(1)) is True


def test_a_purge_takes_the_parts_of_a_completed_run_and_leaves_its_segments(landscape, attempt):
    commit(landscape, attempt, sweep_draft(parts=(part(landscape, attempt, PROCESS),)))
    complete_run(landscape, attempt, SEAL)
    assert purge(landscape, None, dry_run=True).to_json()["files"] == 1
    assert purge(landscape, None).to_json()["files"] == 1
    assert purge(landscape, None).to_json() == {"files": 0, "size_bytes": 0, "locks": 0, "runs": []}
    for segment in reads.segments_of(landscape, attempt.run_id):
        reads.read_segment(landscape, segment)


def test_what_begins_to_be_written_during_a_purge_stays(landscape, attempt, monkeypatch):
    """A step of a run that looked dead starts behind the look at the folder."""
    begun = []

    def looks_dead(*_arguments, **_options):
        begun.append(part(landscape, attempt, PROCESS, content=b"new"))
        return []

    part(landscape, attempt, PROCESS, content=b"old")
    monkeypatch.setattr(purging, "signs_of_life", looks_dead)
    assert purge(landscape, None).to_json()["files"] == 1
    assert begun[0].path.exists()


def test_a_purge_frees_locks_of_runs_that_are_over_and_of_no_other(landscape, attempt):
    other = ensure_attempt(landscape, request("d7", pipeline="returns"))
    complete_run(landscape, other, SEAL)
    now = attempt.started_at
    held = [("publishing orders", attempt.run_id), ("publishing returns", other.run_id), ("lost", "no run")]
    waiting = [(attempt.run_id, 1), (attempt.run_id, 0), (other.run_id, 1)]
    with landscape.transaction() as connection:
        for name, run_id in held:
            lock = {"name": name, "run_id": run_id, "attempt": 1, "taken_at": now}
            connection.execute(insert(schema.ops_locks).values(**lock))
        for run_id, number in waiting:
            note = {"run_id": run_id, "attempt": number, "step": "s", "until": now}
            connection.execute(insert(schema.ops_waiting).values(**note))
    assert purge(landscape, other.run_id, dry_run=True).locks == 2
    assert purge(landscape, other.run_id).locks == 2
    assert purge(landscape, None, dry_run=True).locks == 2
    assert purge(landscape, None).locks == 2
    with landscape.read() as connection:
        assert connection.execute(select(schema.ops_locks.c.name)).scalars().all() == ["publishing orders"]
        assert connection.execute(select(schema.ops_waiting.c.attempt)).scalars().all() == [1]


def test_a_purge_leaves_what_it_does_not_know(landscape, attempt):
    strange = landscape.location.segments / "20200101-000000-00000000" / "1" / "of-another-catalogue.parquet"
    strange.parent.mkdir(parents=True)
    strange.write_bytes(b"?")
    assert purge(landscape, None).to_json()["files"] == 0
    assert strange.exists()
    with pytest.raises(NoSuchRunError):
        purge(landscape, "20200101-000000-00000000")
