import csv
import errno
import io
import json
import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from publish_case import Case, Killed, csv_sink, jsonl_sink

from elspeth_dagster.engine import target
from elspeth_dagster.engine.publish_errors import OutputOrderError, TargetError, TargetLockedError
from elspeth_dagster.engine.target import Target
from elspeth_dagster.landscape import reads, storage
from elspeth_dagster.landscape.errors import DamagedRecordError, FenceLostError
from elspeth_dagster.plugins.sinks.json import JsonOptions, JsonSink
from elspeth_dagster.plugins.sinks.parquet import ParquetOptions, ParquetSink

ROWS = [{"id": 1, "name": "a"}, {"id": 2, "name": "b,c"}, {"id": 3, "name": None}]
BYTES = b'id,name\r\n1,a\r\n2,"b,c"\r\n3,\r\n'


def test_a_publish_makes_the_file_and_its_artifact(case):
    sink = csv_sink()
    case.sweep(sink, ROWS[:2])
    case.sweep(sink, ROWS[2:], rows=[2])
    artifact = case.publish(sink)
    assert case.read() == BYTES
    assert case.files() == ["rows.csv"]
    assert (artifact.sink, artifact.kind, artifact.rows) == ("out", "csv", 3)
    assert artifact.uri == str(case.root / "out/rows.csv")
    assert (artifact.size_bytes, artifact.sha256) == (len(BYTES), sha256(BYTES).hexdigest())
    assert artifact.facts["columns"] == artifact.facts["header"] == ["id", "name"]
    assert artifact.facts["types"] == ["int", "string"]
    assert artifact.facts["preview"] == [
        {"id": "1", "name": "a"},
        {"id": "2", "name": "b,c"},
        {"id": "3", "name": ""},
    ]
    assert reads.artifact(case.landscape, case.attempt.run_id, "out") == artifact
    assert case.tallies() == {("out", "in", "", ""): 3, ("out", "ended", "completed", "out"): 3}


def test_a_published_sink_is_left_alone(case):
    sink = csv_sink()
    case.sweep(sink, ROWS)
    first = case.publish(sink)
    (case.root / "out/rows.csv").write_bytes(b"someone else's")
    assert case.publish(sink) == first
    assert case.resumed().publish(sink) == first
    assert case.read() == b"someone else's"


def test_without_rows_the_sink_is_published_all_the_same(case):
    artifact = case.publish(JsonSink(JsonOptions(path="out/rows.json")))
    assert case.read("out/rows.json") == b"[]"
    assert (artifact.rows, artifact.facts["preview"]) == (0, [])
    assert case.tallies() == {}


def test_columns_that_appear_later_widen_what_was_rendered_before(case):
    sink = csv_sink()
    case.sweep(sink, [{"b": 1}])
    case.sweep(sink, [{"a": 2, "b": 3}], rows=[1])
    case.publish(sink)
    assert case.read() == b"b,a\r\n1,\r\n3,2\r\n"


def test_original_headers_are_those_of_the_source_whatever_part_knows_them(case):
    sink = csv_sink(headers="original")
    case.sweep(sink, [{"id": 1}], originals={"id": "ID!"})
    case.sweep(sink, [{"id": 2, "x": 3}], rows=[1], originals={"id": "ID!", "x": "An X"})
    case.publish(sink)
    assert case.read() == b"ID!,An X\r\n1,\r\n2,3\r\n"


def test_streams_of_several_stages_are_merged_in_token_order(case):
    sink = jsonl_sink()
    case.sweep(sink, [{"r": i} for i in (0, 3, 4)], rows=[0, 3, 4], node="stage 0")
    case.sweep(sink, [{"r": 9}], rows=[9], node="stage 0", edges="routed")
    case.sweep(sink, [{"r": i} for i in (1, 2, 5)], rows=[1, 2, 5], node="stage 1")
    case.sweep(sink, [{"r": i} for i in (7, 10)], rows=[7, 10], node="stage 1", edges="quarantined")
    case.sweep(sink, [{"r": 8}], rows=[8], node="stage 2")
    assert case.publish(sink, takes_any=True).rows == 10
    order = [json.loads(line)["r"] for line in case.read("out/rows.jsonl").splitlines()]
    assert order == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10]
    assert case.tallies() == {
        ("out", "in", "", ""): 10,
        ("out", "ended", "completed", "out"): 7,
        ("out", "ended", "routed", "out"): 1,
        ("out", "ended", "quarantined", "out"): 2,
    }


CELL = st.none() | st.integers(-5, 2**64) | st.text('a,"\né', max_size=3) | st.floats(0, 1) | st.just([1])
ROW = st.dictionaries(st.sampled_from("abc"), CELL, max_size=3)
EDGE = st.sampled_from(["completed", "routed", "quarantined"])
SWEPT = st.lists(st.tuples(ROW, EDGE, st.integers(0, 2), st.booleans()), max_size=14)


@settings(max_examples=60)
@given(SWEPT, st.sampled_from(["csv", "json", "parquet"]))
@example(swept=[({}, "completed", 0, False)], kind="parquet")
def test_bytes_do_not_depend_on_chunks_stages_or_ways(shared, swept, kind):
    path = f"out/rows.{kind}"
    sink = {
        "csv": lambda: csv_sink(path=path),
        "json": lambda: JsonSink(JsonOptions(path=path)),
        "parquet": lambda: ParquetSink(ParquetOptions(path=path)),
    }[kind]()
    together, apart = Case.new(*shared), Case.new(*shared)
    together.sweep(sink, [row for row, *_ in swept], edges=[edge for _, edge, *_ in swept])
    for stage in range(3):
        waiting: list[tuple[int, dict, str]] = []
        for index, (row, edge, at, ends) in enumerate(swept):
            if at == stage:
                waiting.append((index, row, edge))
                if ends:
                    sweep_waiting(apart, sink, waiting, stage)
        sweep_waiting(apart, sink, waiting, stage)
    artifact = together.publish(sink, takes_any=True)
    data = together.read(path)
    assert apart.publish(sink, takes_any=True) == artifact
    assert apart.read(path) == data
    assert apart.tallies() == together.tallies()
    dicts = [row for row, *_ in swept]
    # A Parquet file without columns holds no rows, so such rows are refused there.
    assert artifact.rows == (len(dicts) if kind != "parquet" or any(dicts) else 0)
    if kind == "csv":
        assert data == reference_csv(dicts)
    elif kind == "json":
        assert data == json.dumps(dicts).encode()


def sweep_waiting(case, sink, waiting, stage):
    if waiting:
        indices, rows, edges = zip(*waiting, strict=True)
        case.sweep(sink, list(rows), rows=indices, edges=list(edges), node=f"stage {stage}")
        waiting.clear()


def reference_csv(dicts):
    columns = list(dict.fromkeys(name for row in dicts for name in row))
    if not dicts:
        return b""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    if columns:
        writer.writerow(columns)
    for row in dicts:
        cells = (row.get(name) for name in columns)
        writer.writerow([json.dumps(cell) if isinstance(cell, list) else cell for cell in cells])
    return file.getvalue().encode()


def test_links_and_permissions_of_the_old_file_stay(case):
    real = case.root / "elsewhere" / "real.csv"
    real.parent.mkdir()
    real.write_bytes(b"old")
    real.chmod(0o640)
    (case.root / "out").mkdir()
    (case.root / "out/rows.csv").symlink_to(real)
    sink = csv_sink()
    case.sweep(sink, ROWS)
    assert case.publish(sink).uri == str(real)
    assert real.read_bytes() == BYTES
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert (case.root / "out/rows.csv").is_symlink()


def test_a_name_of_any_length_can_be_written(case):
    name = "é" * 120 + ".csv"
    sink = csv_sink(path=f"out/{name}")
    case.sweep(sink, ROWS)
    case.publish(sink)
    assert case.files() == [name]


def fail_with(error):
    def fail(*_):
        raise error

    return fail


def fail_below(folder, call, error):
    """What `storage` does, but for files of a folder."""
    does = getattr(storage, call)

    def fail(file, *others):
        path = file if isinstance(file, Path) else file.path
        if path.parent == folder:
            raise error
        return does(file, *others)

    return fail


@pytest.mark.parametrize("call", ["create_file", "fsync_file", "replace_file"])
def test_a_target_that_cannot_be_written_stops_the_publish_and_nothing_else(case, monkeypatch, call):
    sink = csv_sink()
    case.sweep(sink, ROWS)
    (case.root / "out").mkdir()
    (case.root / "out/rows.csv").write_bytes(b"old")
    with monkeypatch.context() as patched, pytest.raises(TargetError) as failure:
        full = OSError(errno.ENOSPC, "No space left on device")
        patched.setattr(storage, call, fail_below(case.root / "out", call, full))
        case.publish(sink)
    assert failure.value.retryable
    assert "No space left on device" in str(failure.value)
    assert str(case.root / "out/rows.csv") in str(failure.value)
    assert case.read() == b"old"
    assert case.files() == ["rows.csv"]
    case.publish(sink)
    assert case.read() == BYTES


def test_a_folder_in_the_files_place_is_an_error_of_the_surroundings(case):
    sink = csv_sink()
    case.sweep(sink, ROWS)
    (case.root / "out/rows.csv").mkdir(parents=True)
    with pytest.raises(TargetError, match="there is a folder or device in its place"):
        case.publish(sink)
    (case.root / "out/rows.csv").rmdir()
    assert case.publish(sink).rows == 3


def test_a_file_in_a_folders_place_is_an_error_of_the_surroundings(case):
    sink = csv_sink(path="out/deep/rows.csv")
    (case.root / "out").write_bytes(b"a file")
    with pytest.raises(TargetError):
        case.publish(sink)


def test_what_fails_while_cleaning_up_hides_nothing(case, monkeypatch):
    sink = csv_sink()
    case.sweep(sink, ROWS)
    with monkeypatch.context() as patched, pytest.raises(TargetError) as failure:
        patched.setattr(storage, "replace_file", fail_with(OSError(errno.EIO, "Input/output error")))
        patched.setattr(storage, "remove_file", fail_with(OSError(errno.EROFS, "Read-only file system")))
        case.publish(sink)
    assert "Input/output error" in str(failure.value)
    assert any("Read-only file system" in note for note in failure.value.__notes__)


@pytest.mark.parametrize("after", [False, True])
def test_a_death_around_the_rename_leaves_the_old_file_or_the_new_one(case, monkeypatch, after):
    sink = csv_sink()
    case.sweep(sink, ROWS)
    (case.root / "out").mkdir()
    (case.root / "out/rows.csv").write_bytes(b"old")
    replace = storage.replace_file

    def die(source, target):
        if after:
            replace(source, target)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(storage, "replace_file", die)
        case.publish(sink)
    assert case.read() == (BYTES if after else b"old")
    assert reads.artifact(case.landscape, case.attempt.run_id, "out") is None
    resumed = case.resumed()
    assert resumed.publish(sink).sha256 == sha256(BYTES).hexdigest()
    assert case.read() == BYTES
    assert case.files() == ["rows.csv"]


def test_what_a_killed_try_left_is_removed_wherever_the_target_is(case, monkeypatch, tmp_path_factory):
    """Also when the target is not where it was then, or the folder is gone with all that was in it."""
    sink = csv_sink()
    case.sweep(sink, ROWS)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (case.root / "out").symlink_to(elsewhere)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(storage, "replace_file", fail_with(Killed()))
        patched.setattr(storage, "remove_file", fail_with(Killed()))
        case.publish(sink)
    (left,) = elsewhere.iterdir()
    assert left.name.startswith(f".rows.csv.elspeth-{case.attempt.run_id}-out.1-")
    (elsewhere / ".rows.csv.elspeth-another-run-out.1-0badcafe.tmp").write_bytes(b"not ours")
    (case.root / "out").unlink()
    resumed = case.resumed()
    assert [path.name for path in elsewhere.iterdir()] == [".rows.csv.elspeth-another-run-out.1-0badcafe.tmp"]
    resumed.publish(sink)
    assert case.files() == ["rows.csv"]
    assert not list((case.root / "landscape").rglob("*.beside"))


def test_a_superseded_attempt_does_not_touch_the_target(case):
    sink = csv_sink()
    case.sweep(sink, ROWS)
    (case.root / "out").mkdir()
    (case.root / "out/rows.csv").write_bytes(b"old")
    resumed = case.resumed()
    with pytest.raises(FenceLostError):
        case.publish(sink)
    assert case.read() == b"old"
    assert case.files() == ["rows.csv"]
    resumed.publish(sink)
    assert case.read() == BYTES


@pytest.mark.parametrize("suffix", [".arrow", ".bytes"])
@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_damaged_part_stops_the_publish(case, suffix, damage):
    sink = csv_sink()
    case.sweep(sink, ROWS)
    (path,) = (case.root / "landscape/segments").rglob(f"*{suffix}")
    if damage == "remove":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(data)
    with pytest.raises(DamagedRecordError, match=path.name):
        case.publish(sink)
    assert case.files() == []


def test_parts_out_of_order_stop_the_publish(case):
    sink = csv_sink()
    case.sweep(sink, ROWS, rows=[5, 6, 7])
    case.sweep(sink, ROWS, rows=[7, 8, 9])
    with pytest.raises(OutputOrderError):
        case.publish(sink)
    assert not (case.root / "out/rows.csv").exists()


def test_a_target_that_someone_else_holds_is_waited_for_with_a_limit(case, monkeypatch):
    monkeypatch.setattr(target, "_LOCK_WAIT_S", 0.05)
    sink = csv_sink()
    case.sweep(sink, ROWS)
    other = Target.at("orders", "other", case.root / "out/rows.csv")
    with other.locked(case.landscape), pytest.raises(TargetLockedError) as failure:
        case.publish(sink)
    assert failure.value.retryable
    assert case.files() == []
    case.publish(sink)


def test_the_preview_is_small(case):
    sink = csv_sink()
    case.sweep(sink, [{"a": "x" * 5000, **{f"c{i}": i for i in range(80)}}] * 20)
    preview = case.publish(sink).facts["preview"]
    assert len(preview) == 10
    assert len(preview[0]) == 50
    assert preview[0]["a"] == "x" * 199 + "…"


def test_files_are_made_with_the_usual_permissions(case):
    sink = csv_sink()
    case.sweep(sink, ROWS)
    before = os.umask(0o027)
    try:
        case.publish(sink)
    finally:
        os.umask(before)
    assert stat.S_IMODE((case.root / "out/rows.csv").stat().st_mode) == 0o640
