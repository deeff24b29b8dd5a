import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from publish_case import Case, csv_sink, jsonl_sink

from elspeth_dagster.accounting import imbalances
from elspeth_dagster.engine import publishing
from elspeth_dagster.engine.target import Draft
from elspeth_dagster.landscape import reads
from elspeth_dagster.plugins.sinks.parquet import ParquetOptions, ParquetSink
from elspeth_dagster.rows.fields import parse_schema
from elspeth_dagster.rows.tokens import root_token

BLOCK = parse_schema({"mode": "fixed", "fields": ["id: int", "note: str?"]})
ROWS = [{"id": 1}, {"note": "no id"}, {"id": 3, "x": 9}, {"id": 4}]
MISSING = {"reason": "missing_field", "field": "id"}
UNKNOWN = {"reason": "unknown_field", "field": "x"}


def swept(case, sink):
    case.sweep(sink, ROWS[:2], edges=["completed", "routed"])
    case.sweep(sink, ROWS[2:], rows=[2, 3], edges=["routed", "completed"])


def balanced(case, sinks):
    # What arrived at the sinks was sent by nodes that this run did not have.
    found = imbalances(
        reads.tallies(case.landscape, case.attempt.run_id), sinks=frozenset(sinks), published=True
    )
    return [problem for problem in found if "differs from" in problem.detail]


def test_without_a_way_out_a_refused_row_ends_failed_and_the_rest_is_published(case):
    sink = csv_sink(BLOCK)
    swept(case, sink)
    assert case.publish(sink).rows == 2
    assert case.read() == b"id,note\r\n1,\r\n4,\r\n"
    assert case.table("refusals") == [
        {"token": root_token(1), "node": "out", "reason": json.dumps(MISSING, separators=(",", ":")),
         "outcome": "failed", "to": None},
        {"token": root_token(2), "node": "out", "reason": json.dumps(UNKNOWN, separators=(",", ":")),
         "outcome": "failed", "to": None},
    ]  # fmt: skip
    assert [(row["row"], row["kind"], json.loads(row["reason"])) for row in case.table("errors")] == [
        (1, "write", MISSING),
        (2, "write", UNKNOWN),
    ]
    assert case.tallies() == {
        ("out", "in", "", ""): 4,
        ("out", "ended", "completed", "out"): 2,
        ("out", "ended", "failed", ""): 2,
    }
    assert balanced(case, ["out"]) == []


def test_a_discarded_row_ends_quarantined_nowhere(case):
    sink = csv_sink(BLOCK)
    swept(case, sink)
    case.publish(sink, to="discard")
    assert [(row["outcome"], row["to"]) for row in case.table("refusals")] == [("quarantined", None)] * 2
    assert case.tallies()["out", "ended", "quarantined", ""] == 2
    assert balanced(case, ["out"]) == []


def test_refused_rows_go_to_the_failure_sink_with_their_reasons(case):
    sink, failed = csv_sink(BLOCK), jsonl_sink(path="out/failed.jsonl")
    swept(case, sink)
    case.sweep(failed, [{"raw": "x"}], rows=[0], edges="quarantined", node="stage 1", name="failed")
    case.sweep(failed, [{"raw": "y"}], rows=[3], edges="quarantined", node="stage 1", name="failed")
    case.publish(sink, to="failed", failure_sink=failed)
    artifact = case.publish(failed, name="failed", takes_any=True)
    extra = {"__diverted_from": "out", "__diversion_timestamp": case.attempt.run_created_at.isoformat()}
    assert [json.loads(line) for line in case.read("out/failed.jsonl").splitlines()] == [
        {"raw": "x"},
        {"note": "no id", "__diversion_reason": "missing_field: field id", **extra},
        {"id": 3, "x": 9, "__diversion_reason": "unknown_field: field x", **extra},
        {"raw": "y"},
    ]
    assert artifact.rows == 4
    assert [(row["outcome"], row["to"]) for row in case.table("refusals")] == [("quarantined", "failed")] * 2
    assert case.tallies() == {
        ("out", "in", "", ""): 4,
        ("out", "ended", "completed", "out"): 2,
        ("out", "out", "on_write_failure", "failed"): 2,
        ("failed", "in", "", ""): 4,
        ("failed", "ended", "quarantined", "failed"): 4,
    }
    assert balanced(case, ["out", "failed"]) == []


def test_a_row_that_is_refused_twice_says_where_it_was_refused_last(case):
    block = parse_schema({"mode": "observed", "required_fields": ["id"]})
    sink, narrow, last = csv_sink(block), csv_sink(path="out/b.csv", encoding="ascii"), jsonl_sink()
    case.sweep(sink, [{"name": "é"}])
    case.publish(sink, to="narrow", failure_sink=narrow)
    case.publish(narrow, name="narrow", to="last", failure_sink=last, takes_any=True)
    case.publish(last, name="last", takes_any=True)
    row = json.loads(case.read("out/rows.jsonl"))
    assert list(row) == ["name", "__diversion_reason", "__diverted_from", "__diversion_timestamp"]
    assert row["__diverted_from"] == "narrow"
    assert row["__diversion_reason"] == "encoding: field name, encoding ascii"
    assert balanced(case, ["out", "narrow", "last"]) == []


def test_types_that_do_not_fold_are_refused_in_output_order_whatever_the_parts(case):
    sink = ParquetSink(ParquetOptions(path="out/rows.parquet"))
    case.sweep(sink, [{"x": 1}, {"x": 2}], rows=[0, 1])
    case.sweep(sink, [{"x": "a"}], rows=[2])
    case.sweep(sink, [{"x": "b"}, {"x": 3}], rows=[3, 4])
    assert case.publish(sink, to="discard").rows == 3
    assert [json.loads(row["reason"])["found"] for row in case.table("refusals")] == ["text", "text"]
    assert [row["token"] for row in case.table("refusals")] == [root_token(2), root_token(3)]


def test_a_typed_failure_sink_takes_whatever_comes(case):
    sink = csv_sink(BLOCK)
    failed = ParquetSink(ParquetOptions(path="out/failed.parquet"))
    case.sweep(sink, [{"note": 1}, {"note": "x"}, {"note": [1]}])
    case.publish(sink, to="failed", failure_sink=failed)
    assert case.publish(failed, name="failed", takes_any=True).rows == 3
    assert case.table("refusals", node="failed") == []


def test_all_rows_may_be_refused(case):
    sink = csv_sink(BLOCK)
    case.sweep(sink, [{"x": 1}] * 50)
    assert case.publish(sink, to="discard").rows == 0
    assert case.read() == b"id,note\r\n"
    assert len(case.table("refusals")) == 50


@pytest.mark.parametrize("to", [None, "discard", "failed"])
def test_doing_it_again_after_a_lost_commit_gives_the_same(case, monkeypatch, to):
    sink, failed = csv_sink(BLOCK), jsonl_sink(path="out/failed.jsonl")
    swept(case, sink)
    commit = publishing.commit

    def lose(*arguments):
        commit(*arguments)
        raise ConnectionError("gone")

    with monkeypatch.context() as patched, pytest.raises(ConnectionError):
        patched.setattr(publishing, "commit", lose)
        case.publish(sink, to=to, failure_sink=failed)
    again = case.resumed()
    assert again.publish(sink, to=to, failure_sink=failed).rows == 2
    assert len(case.table("refusals")) == 2


def test_a_second_process_of_the_same_attempt_finds_the_work_done(case, monkeypatch):
    sink, failed = csv_sink(BLOCK), jsonl_sink(path="out/failed.jsonl")
    swept(case, sink)
    discard, first = Draft.writing, []

    def meanwhile(draft):
        if not first:
            first.append(draft)
            case.publish(sink, to="failed", failure_sink=failed)
        return discard(draft)

    monkeypatch.setattr(Draft, "writing", meanwhile)
    artifact = case.publish(sink, to="failed", failure_sink=failed)
    assert artifact.rows == 2
    assert case.files() == ["rows.csv"]
    assert len(reads.parts(case.landscape, case.attempt.run_id, "failed")) == 2


ROW = st.fixed_dictionaries({}, optional={"id": st.sampled_from([1, 2.5, "x", None]), "x": st.just("y")})
EDGE = st.sampled_from(["completed", "routed", "quarantined"])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(ROW, EDGE), max_size=12),
    st.sets(st.integers(0, 12)),
    st.sampled_from([None, "discard", "failed"]),
)
def test_every_row_ends_once_wherever_the_parts_are_cut(shared, swept, cuts, to):
    case = Case.new(*shared)
    block = parse_schema({"mode": "fixed", "fields": ["id: int"]})
    sink, failed = csv_sink(block, validate_input=True), jsonl_sink(path="out/failed.jsonl")
    edges = sorted({0, len(swept), *(cut for cut in cuts if cut < len(swept))})
    for start, end in pairwise(edges):
        rows, ways = zip(*swept[start:end], strict=True)
        case.sweep(sink, list(rows), rows=range(start, end), edges=list(ways))
    fits = [way == "quarantined" or row == {"id": 1} for row, way in swept]
    assert case.publish(sink, to=to, failure_sink=failed, takes_any=True).rows == sum(fits)
    refused = [i for i, fit in enumerate(fits) if not fit]
    assert [row["token"] for row in case.table("refusals")] == [root_token(i) for i in refused]
    tallies = case.tallies()
    assert tallies.get(("out", "in", "", ""), 0) == len(swept)
    for outcome in ("completed", "routed", "quarantined"):
        delivered = sum(fit and way == outcome for fit, (_, way) in zip(fits, swept, strict=True))
        assert tallies.get(("out", "ended", outcome, "out"), 0) == delivered
    if to == "failed":
        assert tallies.get(("out", "out", "on_write_failure", "failed"), 0) == len(refused)
        case.publish(failed, name="failed", takes_any=True)
        found = [json.loads(line) for line in case.read("out/failed.jsonl").splitlines()]
        kept = [{key: row[key] for key in row if not key.startswith("__")} for row in found]
        assert kept == [swept[i][0] for i in refused]
    assert balanced(case, ["out", "failed"]) == []
