import errno
from concurrent.futures import ThreadPoolExecutor

import pytest
from landscape_drafts import (
    digests,
    files_of,
    processes_context,
    source_draft,
    supersede,
    sweep_draft,
)
from sqlalchemy import event, insert

from elspeth_dagster.landscape import reads, schema, storage
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import (
    CommitKey,
    attempt_folder,
    check_fence,
    commit,
)
from elspeth_dagster.landscape.errors import (
    CatalogueLostError,
    DamagedRecordError,
    FenceLostError,
)
from elspeth_dagster.landscape.model import Phase

PROCESS = CommitKey(Phase.PROCESS, "stage_0", 0)


def test_a_newer_attempt_takes_the_right_to_commit(landscape, attempt):
    commit(landscape, attempt, sweep_draft(0))
    newer = supersede(landscape)
    for ordinal in (0, 1):
        with pytest.raises(FenceLostError, match=r"attempt 1 may not commit .*: attempt 2 holds the run now"):
            commit(landscape, attempt, sweep_draft(ordinal))
    assert commit(landscape, newer, sweep_draft(0)) is False
    assert commit(landscape, newer, sweep_draft(1)) is True
    assert reads.committed(landscape, attempt.run_id, Phase.PROCESS, "stage_0") == {0, 1}


def test_the_fence_is_checked_inside_the_transaction(landscape, attempt, monkeypatch):
    """A newer attempt that opens while the segments are being written wins."""
    real = storage.fsync_folder

    def and_then_lose(folder):
        real(folder)
        if attempt.run_id in folder.parts:
            monkeypatch.setattr(storage, "fsync_folder", real)
            supersede(landscape)

    attempt_folder(landscape, attempt)
    monkeypatch.setattr(storage, "fsync_folder", and_then_lose)
    with pytest.raises(FenceLostError, match="attempt 2 holds the run now"):
        commit(landscape, attempt, sweep_draft())
    assert reads.committed(landscape, attempt.run_id, Phase.PROCESS, "stage_0") == set()


def test_a_newer_attempt_waits_for_a_commit_under_way(landscape, attempt):
    def open_another():
        with Landscape.open(landscape.location) as other:
            supersede(other)
            return reads.committed(other, attempt.run_id, Phase.PROCESS, "stage_0")

    with ThreadPoolExecutor() as pool:
        with landscape.transaction() as connection:
            check_fence(connection, attempt, PROCESS, lock=True)
            opening = pool.submit(open_another)
            with pytest.raises(TimeoutError):
                opening.result(timeout=0.3)
            row = {
                "run_id": attempt.run_id,
                "phase": 4,
                "node": "stage_0",
                "ordinal": 7,
                "attempt": 1,
                "extra": {},
            }
            rest = dict.fromkeys(("content_digest", "digest", "engine_version", "code_digest"), "x")
            connection.execute(insert(schema.commits).values(**row, **rest, committed_at=attempt.started_at))
        assert opening.result(timeout=300) == {7}


def test_a_redelivery_at_the_same_instant_commits_once(landscape, attempt):
    spawn = processes_context()
    barrier, results = spawn.Barrier(2), spawn.Queue()
    processes = [
        spawn.Process(target=_redelivered, args=(landscape.location, attempt, barrier, results))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    counts = sorted(results.get(timeout=300) for _ in processes)
    for process in processes:
        process.join()
    assert sum(counts) == 5
    assert reads.committed(landscape, attempt.run_id, Phase.PROCESS, "stage_0") == set(range(5))
    named = {segment.path for segment in reads.segments_of(landscape, attempt.run_id)}
    on_disk = {f"{attempt.run_id}/{path}" for path in files_of(landscape, attempt)}
    assert on_disk == named


def _redelivered(location, attempt, barrier, results):
    with Landscape.open(location) as landscape:
        count = 0
        for ordinal in range(5):
            barrier.wait()
            count += commit(landscape, attempt, sweep_draft(ordinal))
        results.put(count)


def test_files_are_durable_before_the_commit_and_their_folder_after_them(landscape, attempt, monkeypatch):
    attempt_folder(landscape, attempt)
    steps = []
    monkeypatch.setattr(storage, "fsync_file", lambda _file: steps.append("file"))
    monkeypatch.setattr(storage, "fsync_folder", lambda _folder: steps.append("folder"))
    event.listen(landscape.engine, "commit", lambda _connection: steps.append("commit"))
    commit(landscape, attempt, sweep_draft())
    assert steps[-5:] == ["file", "file", "file", "folder", "commit"]


@pytest.mark.parametrize("call", ["create_file", "fsync_file", "fsync_folder", "make_folder"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("places", ["sqlite"], indirect=True)
def test_a_disk_that_fails_leaves_nothing_committed_and_is_survived(
    landscape, attempt, monkeypatch, call, number
):
    def fail(*_arguments):
        raise OSError(number, "the disk says no")

    with monkeypatch.context() as patch:
        patch.setattr(storage, call, fail)
        with pytest.raises(OSError, match="the disk says no"):
            commit(landscape, attempt, sweep_draft())
    assert digests(landscape) == []
    assert commit(landscape, attempt, sweep_draft()) is True


@pytest.mark.parametrize("committed", [False, True])
def test_a_commit_whose_outcome_is_unknown_is_found_out(landscape, attempt, monkeypatch, committed):
    """The database goes away at the commit, before or after it took effect."""
    real, losses = Landscape.transaction, iter([True])

    def lossy(self):
        return _LosesItsAnswer(real(self), committed) if next(losses, False) else real(self)

    monkeypatch.setattr(Landscape, "transaction", lossy)
    assert commit(landscape, attempt, sweep_draft()) is True
    assert len(digests(landscape)) == 1
    for segment in reads.segments_of(landscape, attempt.run_id):
        reads.read_segment(landscape, segment)


class _LosesItsAnswer:
    def __init__(self, transaction, committed):
        self._transaction = transaction
        self._committed = committed

    def __enter__(self):
        return self._transaction.__enter__()

    def __exit__(self, *_error):
        lost = CatalogueLostError("here", "writing", "connection lost")
        if self._committed:
            self._transaction.__exit__(None, None, None)
        else:
            self._transaction.__exit__(type(lost), lost, None)
        raise lost


def test_a_database_that_stays_away_is_named(landscape, attempt, monkeypatch):
    landscape.patience.limit_s = 0.3

    def away(self):
        raise CatalogueLostError("here", "writing", "connection refused")

    monkeypatch.setattr(Landscape, "transaction", away)
    with pytest.raises(CatalogueLostError, match="connection refused") as caught:
        commit(landscape, attempt, sweep_draft())
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), r"expected \d+ bytes, found \d+ bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0"), "expected sha256 .*, found sha256"),
        (lambda path: path.unlink(), r"expected \d+ bytes, found no file"),
    ],
    ids=["cut", "flipped", "gone"],
)
def test_a_damaged_segment_is_named_with_what_was_expected(landscape, attempt, damage, found):
    commit(landscape, attempt, source_draft())
    (segment,) = reads.segments_of(landscape, attempt.run_id)
    path = landscape.location.segments / segment.path
    damage(path)
    with pytest.raises(DamagedRecordError, match=found) as caught:
        reads.read_segment(landscape, segment)
    assert caught.value.path == path
    assert str(path) in str(caught.value)
