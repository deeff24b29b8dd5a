from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from publish_case import jsonl_sink

from elspeth_dagster.engine import publish_rows
from elspeth_dagster.engine.publish_errors import SinkFailureError, UnknownSinkError
from elspeth_dagster.landscape.errors import FenceLostError
from elspeth_dagster.plugins.base import NoOptions, RowSink, Sink, TransientError
from elspeth_dagster.rows.fields import OBSERVED, parse_schema


class Collecting(RowSink):
    """Keeps what it gets; refuses odd ids when asked to."""

    def __init__(self, schema=OBSERVED, *, refuse=False, error=None):
        super().__init__(NoOptions(), schema)
        self.got: list[list[dict[str, Any]]] = []
        self.refuse, self.error, self.calls = refuse, error, []

    def open(self, context):
        self.calls.append("open")

    def close(self):
        self.calls.append("close")

    def uri(self):
        return "memory:"

    def write(self, rows: list[dict[str, Any]]) -> Mapping[int, str] | None:
        self.got.append(rows)
        if self.error is not None:
            raise self.error
        return {i: "odd" for i, row in enumerate(rows) if row["id"] % 2} if self.refuse else None

    def finish(self):
        self.calls.append("finish")
        return {"batches": len(self.got)}


def swept(case, sink, count=7):
    case.sweep(sink, [{"id": i, "what": [i]} for i in range(3)])
    case.sweep(sink, [{"id": i} for i in range(3, count)], rows=range(3, count), edges="routed")


def test_rows_are_handed_over_slice_by_slice_in_order(case, monkeypatch):
    monkeypatch.setattr(publish_rows, "_SLICE_ROWS", 2)
    sink = Collecting()
    swept(case, sink)
    artifact = case.publish(sink)
    assert [len(rows) for rows in sink.got] == [2, 1, 2, 2]
    flat = [row for rows in sink.got for row in rows]
    assert flat == [{"id": i, "what": [i]} for i in range(3)] + [{"id": i} for i in range(3, 7)]
    assert sink.calls == ["open", "finish", "close"]
    assert (artifact.uri, artifact.kind, artifact.rows) == ("memory:", "Collecting", 7)
    assert artifact.facts["delivery"] == "at_least_once"
    assert artifact.facts["batches"] == 4
    assert artifact.facts["preview"][0] == {"id": "0", "what": "[0]"}
    assert case.tallies() == {
        ("out", "in", "", ""): 7,
        ("out", "ended", "completed", "out"): 3,
        ("out", "ended", "routed", "out"): 4,
    }


def test_the_artifacts_hash_is_that_of_the_rows(case):
    one, other = Collecting(), Collecting()
    swept(case, one)
    case.sweep(
        other, [{"what": [i], "id": i} if i < 3 else {"id": i} for i in range(7)], node="x", name="other"
    )
    assert case.publish(one).sha256 == case.publish(other, name="other").sha256


def test_refused_rows_take_their_way(case):
    sink, failed = Collecting(refuse=True), jsonl_sink()
    swept(case, sink)
    assert case.publish(sink, to="failed", failure_sink=failed).rows == 4
    case.publish(failed, name="failed", takes_any=True)
    lines = case.read("out/rows.jsonl").splitlines()
    assert len(lines) == 3
    assert b'"__diversion_reason": "refused: detail odd"' in lines[0]


def test_the_schemas_required_fields_are_checked_before(case):
    sink = Collecting(parse_schema({"mode": "observed", "required_fields": ["what"]}))
    swept(case, sink)
    assert case.publish(sink, to="discard").rows == 3
    assert [row["id"] for rows in sink.got for row in rows] == [0, 1, 2]
    assert len(case.table("refusals")) == 4


@pytest.mark.parametrize(
    ("error", "retryable"),
    [(ValueError("no"), False), (TransientError("later"), True), (TimeoutError(), True)],
)
def test_what_the_plugin_raises_stops_the_publish_and_names_it(case, error, retryable):
    sink = Collecting(error=error)
    swept(case, sink)
    with pytest.raises(SinkFailureError) as failure:
        case.publish(sink)
    assert "node 'out', rows 0 to 2" in str(failure.value)
    assert type(error).__name__ in failure.value.exception
    assert failure.value.retryable is retryable
    assert sink.calls == ["open", "close"]
    again = Collecting()
    assert case.resumed().publish(again).rows == 7
    assert len(again.got) == 2


def test_a_position_that_was_not_given_is_a_bug_of_the_plugin(case):
    class Wrong(Collecting):
        def write(self, rows):
            return {len(rows): "?"}

    swept(case, Wrong())
    with pytest.raises(SinkFailureError, match="position 3 of 3 rows"):
        case.publish(Wrong())


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "datetime is not JSON serializable"),
        ({"share": float("nan")}, "not JSON compliant"),
        ([1], "TypeError"),
    ],
)
def test_what_a_sink_tells_in_the_end_is_json_or_its_mistake(case, told, why):
    class Telling(Collecting):
        def finish(self):
            return told

    swept(case, Telling())
    with pytest.raises(SinkFailureError, match=why):
        case.publish(Telling())


def test_a_sink_may_tell_nothing(case):
    class Silent(Collecting):
        def finish(self):
            return None

    swept(case, Silent())
    assert case.publish(Silent()).rows == 7


def test_a_published_sink_is_not_even_opened(case):
    swept(case, Collecting())
    first = case.publish(Collecting())
    sink = Collecting()
    assert case.publish(sink) == first
    assert sink.calls == []


def test_a_superseded_attempt_hands_nothing_over(case):
    sink = Collecting()
    swept(case, sink)
    case.resumed()
    with pytest.raises(FenceLostError):
        case.publish(sink)
    assert sink.got == []


def test_no_rows_are_no_calls(case):
    sink = Collecting()
    assert case.publish(sink).rows == 0
    assert (sink.got, sink.calls) == ([], ["open", "finish", "close"])


def test_a_sink_of_another_kind_is_refused(case):
    class Odd(Sink):
        pass

    with pytest.raises(UnknownSinkError, match="Odd is no FileSink, DatabaseSink or RowSink"):
        case.publish(Odd(NoOptions()))
