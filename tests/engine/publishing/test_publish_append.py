import errno
from hashlib import sha256

import pytest
from publish_case import Case, Killed, csv_sink, jsonl_sink

from elspeth_dagster.engine import publish_append, publishing
from elspeth_dagster.engine.publish_errors import AppendConflictError, ExistingTargetError, TargetError
from elspeth_dagster.landscape import reads, storage
from elspeth_dagster.landscape.errors import FenceLostError
from elspeth_dagster.rows.fields import parse_schema

ROWS = [{"id": i, "name": "x" * i} for i in range(1, 5)]
OLD = b"name,id\r\nold,0\r\n"
OURS = b"x,1\r\nxx,2\r\nxxx,3\r\nxxxx,4\r\n"


def old_file(case, content=OLD, name="rows.csv"):
    path = case.root / "out" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def sink(block=None, **options):
    return csv_sink(mode="append", **options) if block is None else csv_sink(block, mode="append", **options)


def swept(case, plugin):
    case.sweep(plugin, ROWS[:2])
    case.sweep(plugin, ROWS[2:], rows=[2, 3])


def test_rows_go_behind_what_is_there_in_its_columns(case):
    old_file(case)
    swept(case, sink())
    artifact = case.publish(sink())
    assert case.read() == OLD + OURS
    assert (artifact.rows, artifact.size_bytes) == (4, len(OLD + OURS))
    assert artifact.sha256 == sha256(OLD + OURS).hexdigest()
    assert artifact.facts["appended_at"] == len(OLD)
    assert case.files() == ["rows.csv"]
    assert not list((case.root / "landscape").rglob("*.tmp"))


def test_a_new_file_gets_its_header(case):
    swept(case, sink())
    case.publish(sink())
    whole = b"id,name\r\n1,x\r\n2,xx\r\n3,xxx\r\n4,xxxx\r\n"
    assert case.read() == whole
    again = Case.new(case.landscape, case.root)
    swept(again, sink())
    again.publish(sink())
    assert case.read() == whole + whole.removeprefix(b"id,name\r\n")


def test_an_empty_file_is_as_good_as_none(case):
    old_file(case, b"")
    swept(case, sink())
    case.publish(sink())
    assert case.read().startswith(b"id,name\r\n1,x")


@pytest.mark.parametrize(
    ("old", "between"),
    [
        (b"name,id\r\nold,0", b"\r\n"),
        (b"name,id\nold,0\n", b""),
        (b"name,id", b"\r\n"),
        (b"name,id\r\n", b""),
    ],
)
def test_a_missing_line_end_is_added_first(case, old, between):
    old_file(case, old)
    swept(case, sink())
    case.publish(sink())
    assert case.read() == old + between + OURS


@pytest.mark.parametrize(("old", "between"), [(b'{"a": 1}', b"\n"), (b'{"a": 1}\n', b""), (b"", b"")])
def test_lines_of_json_are_appended_too(case, old, between):
    old_file(case, old, "rows.jsonl")
    plugin = jsonl_sink(mode="append")
    case.sweep(plugin, [{"b": 2}])
    case.publish(plugin)
    assert case.read("out/rows.jsonl") == old + between + b'{"b": 2}\n'


def test_a_missing_line_end_is_found_in_wide_encodings(case):
    old_file(case, "a\r\n1".encode("utf-16"))
    plugin = sink(encoding="utf-16")
    case.sweep(plugin, [{"a": "é"}])
    case.publish(plugin)
    assert case.read().decode("utf-16") == "a\r\n1\r\né\r\n"


@pytest.mark.parametrize("exists", [False, True])
def test_without_rows_nothing_is_touched(case, exists):
    if exists:
        old_file(case, b"no line end")
    artifact = case.publish(sink(parse_schema({"mode": "observed"})))
    assert artifact.rows == 0
    assert (case.root / "out/rows.csv").exists() is exists
    assert not exists or case.read() == b"no line end"
    assert artifact.size_bytes == (len(b"no line end") if exists else 0)


@pytest.mark.parametrize("content", [b"a,b\r\n", b"\r\n", b"\xff\xff\r\n"])
def test_without_rows_it_does_not_matter_what_the_file_is(case, content):
    old_file(case, content)
    plugin = sink(parse_schema({"mode": "fixed", "fields": ["id: int", "name: str"]}))
    artifact = case.publish(plugin)
    assert (artifact.rows, artifact.sha256) == (0, sha256(content).hexdigest())
    assert case.read() == content


def test_refused_rows_alone_touch_nothing(case):
    old_file(case, b"name,id\r\nold,0")
    case.sweep(sink(), [{"unknown": 1}])
    assert case.publish(sink(), to="discard").rows == 0
    assert case.read() == b"name,id\r\nold,0"
    assert len(case.table("refusals")) == 1


def test_a_file_that_does_not_suit_is_left_alone_and_named(case):
    old_file(case, b"a,b\r\n")
    plugin = sink(parse_schema({"mode": "fixed", "fields": ["id: int", "name: str"]}))
    swept(case, plugin)
    with pytest.raises(
        ExistingTargetError, match=r"rows.csv cannot be appended to: its header is \['a', 'b'\]"
    ):
        case.publish(plugin)
    old_file(case, b"id,name\r\n")
    assert case.publish(plugin).rows == 4


@pytest.mark.parametrize("exists", [False, True])
def test_rows_without_fields_make_no_file_without_a_header(case, exists):
    if exists:
        old_file(case, b"")
    case.sweep(sink(), [{}, {}])
    assert case.publish(sink()).rows == 0
    assert [row["reason"] for row in case.table("refusals")] == ['{"reason":"no_columns"}'] * 2
    assert (case.root / "out/rows.csv").exists() is exists
    again = Case.new(case.landscape, case.root)
    again.sweep(sink(), [{}, {"a": 1}])
    assert again.publish(sink()).rows == 2
    assert case.read() == b'a\r\n""\r\n1\r\n'


def test_runs_with_diverted_rows_follow_each_other(case):
    plugin = sink(parse_schema({"mode": "fixed", "fields": ["id: int", "name: str"]}))
    for run in (case, Case.new(case.landscape, case.root)):
        run.sweep(plugin, [ROWS[0], {"raw": "?"}], edges=["completed", "quarantined"])
        assert run.publish(plugin, takes_any=True).rows == 2
    assert case.read() == b"id,name,raw\r\n" + b"1,x,\r\n,,?\r\n" * 2


def die_after(case, monkeypatch, size):
    """Publishes, and dies when `size` bytes of ours are in the file."""
    data = case.read()

    def append(path):
        file = path.open("ab")
        file.write(OURS[:size])
        file.close()
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(storage, "append_file", append)
        case.publish(sink())
    assert case.read() == data + OURS[:size]


@pytest.mark.parametrize("size", [0, 1, 7, len(OURS) - 1, len(OURS)])
def test_an_interrupted_append_is_completed(case, monkeypatch, size):
    old_file(case)
    swept(case, sink())
    die_after(case, monkeypatch, size)
    artifact = case.resumed().publish(sink())
    assert case.read() == OLD + OURS
    assert (artifact.rows, artifact.sha256) == (4, sha256(OLD + OURS).hexdigest())


def test_an_append_can_be_interrupted_again_and_again(case, monkeypatch):
    old_file(case)
    swept(case, sink())
    die_after(case, monkeypatch, 3)
    resumed = case.resumed()

    def append(path):
        path.open("ab").write(OURS[3:9])
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(storage, "append_file", append)
        resumed.publish(sink())
    resumed.resumed().publish(sink())
    assert case.read() == OLD + OURS


def test_a_new_file_that_was_begun_is_completed(case, monkeypatch):
    swept(case, sink())
    whole = b"id,name\r\n1,x\r\n2,xx\r\n3,xxx\r\n4,xxxx\r\n"

    def append(path):
        path.open("ab").write(whole[:12])
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(storage, "append_file", append)
        case.publish(sink())
    assert case.read() == whole[:12]
    case.resumed().publish(sink())
    assert case.read() == whole


@pytest.mark.parametrize("foreign", [b"z", OURS + b"more,5\r\n", OURS[:5] + b"zz"])
def test_foreign_bytes_stop_a_resumed_append(case, monkeypatch, foreign):
    path = old_file(case)
    swept(case, sink())
    die_after(case, monkeypatch, 0)
    with path.open("ab") as file:
        file.write(foreign)
    resumed = case.resumed()
    with pytest.raises(AppendConflictError) as conflict:
        resumed.publish(sink())
    assert case.read() == OLD + foreign
    assert f"{len(OLD)} bytes in inode" in str(conflict.value)
    assert reads.artifact(case.landscape, case.attempt.run_id, "out") is None
    path.write_bytes(OLD)
    resumed.publish(sink())
    assert case.read() == OLD + OURS


def test_a_file_that_was_replaced_or_shortened_stops_a_resumed_append(case, monkeypatch):
    path = old_file(case)
    swept(case, sink())
    die_after(case, monkeypatch, 4)
    resumed, kept = case.resumed(), path.with_name("kept.csv")
    path.rename(kept)
    path.write_bytes(OLD + OURS[:4])
    with pytest.raises(AppendConflictError, match="in inode"):
        resumed.publish(sink())
    kept.replace(path)
    with path.open("r+b") as file:
        file.truncate(len(OLD) - 1)
    with pytest.raises(AppendConflictError, match=f"Found: {len(OLD) - 1} bytes"):
        resumed.publish(sink())
    with path.open("ab") as file:
        file.write(b"\n")
    assert resumed.publish(sink()).rows == 4
    assert case.read() == OLD + OURS


def test_a_death_after_the_append_and_before_the_commit_appends_nothing_twice(case, monkeypatch):
    old_file(case)
    swept(case, sink())
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(publishing, "commit", lambda *_: (_ for _ in ()).throw(Killed()))
        case.publish(sink())
    assert case.read() == OLD + OURS
    case.resumed().publish(sink())
    assert case.read() == OLD + OURS


def test_what_a_dead_attempt_appended_is_made_durable_before_the_commit(case, monkeypatch):
    old_file(case)
    swept(case, sink())
    die_after(case, monkeypatch, len(OURS))
    durable = []
    fsync_file = storage.fsync_file
    monkeypatch.setattr(storage, "fsync_file", lambda file: (durable.append(file.path), fsync_file(file)))
    case.resumed().publish(sink())
    assert case.root / "out/rows.csv" in durable


def test_a_published_append_is_left_alone(case):
    old_file(case)
    swept(case, sink())
    first = case.publish(sink())
    assert case.resumed().publish(sink()) == first
    assert case.read() == OLD + OURS


def test_a_superseded_attempt_appends_nothing(case, monkeypatch):
    old_file(case)
    swept(case, sink())
    die_after(case, monkeypatch, 2)
    case.resumed()
    with pytest.raises(FenceLostError):
        case.publish(sink())
    assert case.read() == OLD + OURS[:2]


def test_a_full_disk_stops_the_append_and_resuming_completes_it(case, monkeypatch):
    old_file(case)
    swept(case, sink())

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(TargetError, match="No space left on device"):
        patched.setattr(publish_append.shutil, "copyfileobj", full)
        case.publish(sink())
    case.publish(sink())
    assert case.read() == OLD + OURS
