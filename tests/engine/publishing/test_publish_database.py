import hashlib
import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import rfc8785
from databases import KINDS, new_target
from publish_case import Killed
from sqlalchemy import make_url

from elspeth_dagster.engine import publish_database, publishing
from elspeth_dagster.engine.publish_errors import DatabaseTargetError
from elspeth_dagster.landscape.errors import FenceLostError
from elspeth_dagster.plugins.sinks import read_artifact
from elspeth_dagster.plugins.sinks.database import DatabaseOptions, DatabaseSink
from elspeth_dagster.rows.fields import OBSERVED, parse_schema


@pytest.fixture(params=KINDS)
def target(request, tmp_path):
    with new_target(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(publish_database, "_PART_ROWS", 4)


def sink_to(target, block=OBSERVED, **options):
    schema = block if block is OBSERVED else parse_schema(block)
    return DatabaseSink(DatabaseOptions(url=target.url, **{"table": "people", **options}), schema)


def people(count, start=0):
    return [{"id": i, "name": f"n{i}"} for i in range(start, start + count)]


def reasons(case):
    return [row["reason"] for row in case.table("refusals")]


def test_rows_of_every_type_come_back(case, target):
    rows = [
        {
            "i": 2**62,
            "f": 0.1,
            "b": True,
            "s": 'a"\\,\n\t\\.',
            "d": date(2024, 2, 29),
            "t": datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
            "x": b"\x00\xff",
            "m": Decimal("1.10"),
            "j": {"k": [1, None]},
        },
        {"i": None, "s": "", "late": 1},
        {"f": 3, "s": "a\n\\.\nb"},
        {},
    ]
    sink = sink_to(target)
    case.sweep(sink, rows)
    artifact = case.publish(sink)
    frame = read_artifact(artifact.kind, sink.connectable(case.root.joinpath), artifact.facts)
    found = frame.astype(object).where(frame.notna(), None).to_dict("records")
    blank = dict.fromkeys(["i", "f", "b", "s", "d", "t", "x", "m", "j", "late"])
    assert found == [
        blank | rows[0] | {"m": "1.10", "j": '{"k": [1, null]}'},
        blank | rows[1],
        blank | {"f": 3.0, "s": "a\n\\.\nb"},
        blank,
    ]
    assert artifact.rows == 4
    assert target.query("SELECT count(*) FROM elspeth_markers") == [(0,)]


def test_the_hash_does_not_depend_on_how_rows_are_cut(case, target, monkeypatch):
    sink = sink_to(target)
    case.sweep(sink, people(10))
    whole = case.publish(sink)
    other = type(case).new(case.landscape, case.root)
    monkeypatch.setattr(publish_database, "_PART_ROWS", 3)
    for start in range(0, 10, 5):
        other.sweep(sink, people(5, start), rows=range(start, start + 5))
    cut = other.publish(sink)
    expected = rfc8785.dumps(people(10))
    assert cut.sha256 == whole.sha256 == hashlib.sha256(expected).hexdigest()
    assert target.query("SELECT id FROM people ORDER BY id") == [(i // 2,) for i in range(20)]


def test_a_part_that_was_cut_otherwise_is_not_taken_for_done(case, target, small_parts, monkeypatch):
    sink = sink_to(target)
    case.sweep(sink, people(10))
    with monkeypatch.context() as patched:
        die_after_part(patched, 1)
        with pytest.raises(Killed):
            case.publish(sink)
    resumed = case.resumed()
    with (
        monkeypatch.context() as patched,
        pytest.raises(DatabaseTargetError, match="resume the run with that"),
    ):
        patched.setattr(publish_database, "_PART_ROWS", 3)
        resumed.publish(sink)
    resumed.resumed().publish(sink)
    assert target.query("SELECT id FROM people ORDER BY id") == [(i,) for i in range(10)]


def test_a_table_is_replaced_once(case, target, small_parts, monkeypatch):
    sink = sink_to(target, if_exists="replace")
    target.query("CREATE TABLE people (other TEXT)")
    case.sweep(sink, people(10))
    die_after_part(monkeypatch, 1)
    with pytest.raises(Killed):
        case.publish(sink)
    monkeypatch.undo()
    assert target.query("SELECT count(*) FROM people") == [(8,)]
    resumed = case.resumed()
    monkeypatch.setattr(publish_database, "_PART_ROWS", 4)
    assert resumed.publish(sink).rows == 10
    assert target.query("SELECT id, name FROM people ORDER BY id") == [(i, f"n{i}") for i in range(10)]


def die_after_part(monkeypatch, last):
    write = publish_database._DatabasePublish._write

    def writing(self, ordinal, *arguments):
        if ordinal > last:
            raise Killed
        return write(self, ordinal, *arguments)

    monkeypatch.setattr(publish_database._DatabasePublish, "_write", writing)


def test_refusals_of_a_part_that_is_in_are_read_back(case, target, small_parts, monkeypatch):
    target.query("CREATE TABLE people (id INTEGER UNIQUE, name TEXT CHECK (name <> 'n6'))")
    sink = sink_to(target)
    rows = [*people(7), {"id": 2, "name": "again"}, *people(2, 8)]
    case.sweep(sink, rows)
    monkeypatch.setattr(publishing, "commit", killed)
    with pytest.raises(Killed):
        case.publish(sink)
    monkeypatch.undo()
    resumed = case.resumed()
    target.query("DELETE FROM people WHERE id = 2")  # were a part tried again, it would show
    monkeypatch.setattr(publish_database, "_PART_ROWS", 4)
    assert resumed.publish(sink).rows == 8
    assert target.query("SELECT id FROM people ORDER BY id") == [(i,) for i in (0, 1, 3, 4, 5, 8, 9)]
    assert [row["row"] for row in resumed.table("errors")] == [6, 7]
    assert ["check" in reasons(resumed)[0].lower(), "uniq" in reasons(resumed)[1].lower()] == [True, True]
    assert resumed.tallies()[("out", "ended", "failed", "")] == 2


def killed(*_):
    raise Killed


def test_what_the_database_refuses_goes_to_another_sink(case, target):
    target.query("CREATE TABLE people (id SMALLINT NOT NULL CHECK (id < 100), name TEXT)")
    sink, other = sink_to(target), sink_to(target, table="refused")
    rows = [{"id": 1, "name": "a"}, {"id": 70000}, {"id": None}, {"id": 2, "extra": 1}, {"id": 3}]
    case.sweep(sink, rows)
    case.publish(sink, to="refused", failure_sink=other)
    assert target.query("SELECT id, name FROM people ORDER BY id") == [(1, "a"), (3, None)]
    assert '"not_in_existing_table"' in reasons(case)[2]
    case.publish(other, name="refused", takes_any=True)
    found = target.query('SELECT id, extra, "__diverted_from" FROM refused ORDER BY id IS NULL, id')
    assert found == [(2, 1, "out"), (70000, None, "out"), (None, None, "out")]


def test_types_that_do_not_join_are_refused_by_row(case, target):
    sink = sink_to(target)
    case.sweep(sink, [{"v": 1}, {"v": "text"}, {"v": 0.5}, {"v": 2**53 + 1}, {"v": 2**70}, {"v": None}])
    case.publish(sink)
    assert target.query("SELECT v FROM people ORDER BY v IS NULL, v") == [(0.5,), (1.0,), (None,)]
    assert [row["row"] for row in case.table("errors")] == [1, 3, 4]


def test_a_sink_of_a_divert_edge_keeps_what_does_not_join_as_json(case, target):
    sink = sink_to(target)
    case.sweep(sink, [{"v": 1}, {"v": "text"}, {"v": [2**70]}])
    case.publish(sink, takes_any=True)
    assert target.query("SELECT v FROM people") == [("1",), ('"text"',), (f"[{2**70}]",)]


def test_declared_columns_stand_first_and_required_ones_take_no_null(case, target):
    block = {"mode": "fixed", "fields": ["a: float", "b: int?", "c: any?"]}
    sink = sink_to(target, block)
    case.sweep(sink, [{"b": 1, "a": 1}, {"a": 2.5, "c": [1]}, {"a": None}, {"b": 1}, {"a": 1, "z": 1}])
    case.publish(sink)
    assert target.query("SELECT * FROM people") == [(1.0, 1, None), (2.5, None, "[1]")]
    assert len(reasons(case)) == 3


def test_a_sink_without_rows(case, target):
    declared = {"mode": "fixed", "fields": ["a: int", "b: str?"]}
    for name, block, if_exists in (
        ("empty", declared, "replace"),
        ("none", OBSERVED, "replace"),
        ("kept", declared, "append"),
    ):
        sink = sink_to(target, block, table=name, if_exists=if_exists)
        assert case.publish(sink, name=name).rows == 0
    assert target.tables() == {"empty", "elspeth_markers"}
    assert target.query("SELECT a, b FROM empty") == []


def test_text_with_nul_characters(case, target):
    sink = sink_to(target)
    case.sweep(sink, [{"s": "a\0b"}, {"s": "c"}])
    case.publish(sink)
    kept = {"sqlite": [("a\0b",), ("c",)], "postgresql": [("c",)]}
    assert target.query("SELECT s FROM people") == kept[target.kind]


def test_a_superseded_attempt_changes_nothing_any_more(case, target, small_parts):
    sink = sink_to(target)
    case.sweep(sink, people(10))
    resumed = case.resumed()
    with pytest.raises(FenceLostError):
        case.publish(sink)
    assert "people" not in target.tables()
    resumed.publish(sink)
    assert target.query("SELECT count(*) FROM people") == [(10,)]


def test_an_attempt_superseded_between_parts_leaves_whole_parts(case, target, small_parts, monkeypatch):
    sink = sink_to(target)
    case.sweep(sink, people(10))
    write = publish_database._DatabasePublish._write
    newer = []

    def writing(self, ordinal, *arguments):
        if ordinal == 1 and not newer:
            newer.append(case.resumed())
        return write(self, ordinal, *arguments)

    monkeypatch.setattr(publish_database._DatabasePublish, "_write", writing)
    with pytest.raises(FenceLostError):
        case.publish(sink)
    assert target.query("SELECT count(*) FROM people") == [(4,)]
    newer[0].publish(sink)
    assert target.query("SELECT id FROM people ORDER BY id") == [(i,) for i in range(10)]


def test_nothing_of_a_password_is_shown(case):
    url = "postgresql://user:s3cr%40tpw@127.0.0.1:1/nowhere?connect_timeout=1"
    sink = DatabaseSink(DatabaseOptions(url=url, table="t"))
    assert "s3cr" not in repr(sink.options) + repr(sink.url) + sink.shown(case.root.joinpath)
    assert sink.shown(case.root.joinpath).startswith("db://t@postgresql://user@127.0.0.1:1/nowhere")
    assert make_url(url).password == "s3cr@tpw"


def test_a_database_that_is_away_can_be_tried_again(case, monkeypatch):
    monkeypatch.setattr("elspeth_dagster.plugins.sinks.databases.connection._WAITS_S", (0.0, 0.01))
    url = "postgresql://user:secret@127.0.0.1:1/nowhere"
    sink = DatabaseSink(DatabaseOptions(url=url, table="t"))
    case.sweep(sink, people(1))
    with pytest.raises(DatabaseTargetError) as caught:
        case.publish(sink)
    assert caught.value.retryable
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_stops_the_publish(case, tmp_path):
    (tmp_path / "data.db").write_bytes(b"not a database" * 100)
    sink = DatabaseSink(DatabaseOptions(url="sqlite:///data.db", table="t"))
    case.sweep(sink, people(1))
    with pytest.raises(DatabaseTargetError, match=r"db://t@sqlite:///.*data\.db cannot be written"):
        case.publish(sink)


def test_a_relative_path_is_taken_from_the_platform_root(case):
    sink = DatabaseSink(DatabaseOptions(url="sqlite:///out/deep/data.db", table="t"))
    case.sweep(sink, people(2))
    assert case.publish(sink).uri == f"db://t@sqlite:///{case.root}/out/deep/data.db"
    with sqlite3.connect(case.root / "out/deep/data.db") as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == [(0, "n0"), (1, "n1")]
