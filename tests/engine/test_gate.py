"""What a gate decides, row by row: labels, reasons, and the values it read."""

from typing import Any

import pytest

from elspeth_dagster.engine.gate import decide
from elspeth_dagster.expressions import parse_expression
from elspeth_dagster.graph import GateRule, Node, NodeKind
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import root_tokens


def gate(condition: str, *labels: str) -> Node:
    rule = GateRule(parse_expression(condition), dict.fromkeys(labels, "sink"))
    return Node("g", NodeKind.GATE, gate=rule)


def rows_of(*dicts: dict[str, Any], originals: dict[str, str] | None = None) -> Rows:
    return Rows.from_dicts(root_tokens(0, len(dicts)), dicts, originals)


def chosen(condition: str, rows: Rows, *labels: str) -> tuple[list[str | None], dict[int, str]]:
    decision = decide(gate(condition, *labels), rows)
    names = [*decision.labels, None]
    found = [names[code] for code in decision.codes.to_pylist()]
    return found, {position: reason["reason"] for position, reason in decision.errors.items()}


def test_each_row_gets_the_label_of_its_result() -> None:
    rows = rows_of({"a": 5}, {"a": 1}, {"a": 9})
    assert chosen("row['a'] > 3", rows, "true", "false") == (["true", "false", "true"], {})


def test_rows_of_different_shapes_are_decided_by_their_own_keys() -> None:
    rows = rows_of({"a": 1}, {"b": 1}, {"b": 2, "a": None})
    labels, errors = chosen("'a' in row and row['a'] is None", rows, "true", "false")
    assert (labels, errors) == (["false", "false", "true"], {})


def test_a_failing_row_has_its_reason_and_the_others_go_on() -> None:
    rows = rows_of({"a": 1}, {"a": None}, {"b": 1}, {"a": 4})
    labels, errors = chosen("row['a'] > 3", rows, "true", "false")
    assert labels == ["false", None, None, "true"]
    assert errors == {1: "evaluation_failed", 2: "evaluation_failed"}


def test_a_label_without_route_is_an_error_of_that_row() -> None:
    rows = rows_of({"k": "x"}, {"k": "y"}, {"k": "x"})
    assert chosen("row['k']", rows, "x") == (["x", None, "x"], {1: "no_route"})


@pytest.mark.parametrize(
    ("value", "label"), [(True, "true"), (1, "1"), (1.0, "1.0"), (None, "None"), ("true", "true")]
)
def test_equal_results_of_different_types_have_their_own_labels(value: Any, label: str) -> None:
    rows = rows_of({"k": value}, {"k": "other"})
    assert chosen("row['k']", rows, label, "other")[0] == [label, "other"]


def test_a_result_that_has_no_label_is_an_error_of_that_row() -> None:
    rows = rows_of({"n": 10**4200}, {"n": 2})
    labels, errors = chosen("row['n'] * row['n']", rows, "4")
    assert (labels, errors) == ([None, "4"], {0: "evaluation_failed"})


def test_what_was_read_is_recorded_in_canonical_form() -> None:
    rows = rows_of({"b": 1, "a": "x", "c": [1]}, {"a": "y", "c": [2]})
    decision = decide(gate("row.get('b', 0) and row['a'] == 'x'", "1", "0", "true", "false"), rows)
    assert decision.reads.to_pylist() == ['{"a":"x","b":1}', '{"a":"y"}']


def test_original_headers_name_the_same_fields() -> None:
    rows = rows_of({"user_id": 7}, originals={"user_id": "User ID"})
    assert chosen("row['User ID'] == 7", rows, "true", "false") == (["true"], {})
    assert decide(gate("row['User ID'] == 7", "true"), rows).reads.to_pylist() == ['{"user_id":7}']
