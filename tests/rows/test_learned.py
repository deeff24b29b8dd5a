"""Types learned from undeclared fields."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from elspeth_dagster.rows.learned import TypesFold, TypesState, ValueKind

KINDS: dict[ValueKind, list[Any]] = {
    ValueKind.TEXT: ["x", ""],
    ValueKind.NUMBER: [1, 1.5, Decimal("2.0"), 10**30],
    ValueKind.BOOL: [True, False],
    ValueKind.CONTAINER: [[1], {"a": 1}],
    ValueKind.DATE: [date(2024, 1, 1)],
    ValueKind.TIMESTAMP: [datetime(2024, 1, 1, tzinfo=UTC)],
    ValueKind.BYTES: [b"x"],
}
PAIRS = [(a, first, b, then) for a in KINDS for first in KINDS[a] for b in KINDS for then in KINDS[b]]


@pytest.mark.parametrize(("a", "first", "b", "then"), PAIRS)
def test_values_join_within_their_kind_alone(a: ValueKind, first: Any, b: ValueKind, then: Any) -> None:
    fold = TypesFold(TypesState())
    assert fold.add({"f": None}) == []
    assert fold.add({"f": first}) == []
    assert fold.add({"f": None}) == []
    conflicts = fold.add({"f": then})
    assert [(c.field, c.learned, c.value) for c in conflicts] == ([] if a is b else [("f", a, then)])
    assert fold.add({"f": first, "g": 1}) == []
    assert fold.state.kinds == {"f": a, "g": ValueKind.NUMBER}


def test_a_row_with_a_conflict_teaches_nothing() -> None:
    fold = TypesFold(TypesState())
    fold.add({"a": 1})
    assert fold.add({"b": "x", "a": "y", "c": None})
    assert fold.state.kinds == {"a": ValueKind.NUMBER}
    assert fold.add({"b": 1}) == []


def test_the_same_conflict_is_seen_every_time() -> None:
    fold = TypesFold(TypesState({"a": ValueKind.NUMBER}))
    assert len(fold.add({"a": "x"})) == len(fold.add({"a": "y"})) == 1


def test_a_state_goes_through_a_cursor() -> None:
    state = TypesState(dict(zip("abcdefg", ValueKind, strict=True)))
    assert TypesState.from_json(state.to_json()) == state


def test_a_state_is_not_changed_by_what_comes_later() -> None:
    before = TypesState({"a": ValueKind.TEXT})
    fold = TypesFold(before)
    middle = fold.state
    fold.add({"b": 1})
    assert before.kinds == middle.kinds == {"a": ValueKind.TEXT}
    assert set(fold.state.kinds) == {"a", "b"}
