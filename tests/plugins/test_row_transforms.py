"""A user's transform that sees one row at a time."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from transforming import applied, exactly, made, rows_of

from elspeth_dagster.plugins.base import PluginError, RowError, RowTransform, TransientError


def transform(process: Any) -> RowTransform:
    class Made(RowTransform):
        def process(self, row: dict[str, Any]) -> dict[str, Any] | RowError:
            return process(row)

    return made(Made)


def test_rows_errors_and_new_keys():
    def process(row: dict[str, Any]) -> dict[str, Any] | RowError:
        if row["a"] == 2:
            return RowError("odd_one", {"a": row["a"]})
        return {"b": row["a"], **row}

    assert exactly(applied(transform(process), [{"a": 1}, {"a": 2}, {"a": "x", "c": None}])) == exactly(
        [{"b": 1, "a": 1}, {"a": 2, "reason": "odd_one"}, {"b": "x", "a": "x", "c": None}]
    )


def test_what_a_plugin_does_to_its_row_does_not_reach_ours():
    def process(row: dict[str, Any]) -> RowError:
        row["list"].append(1)
        row["more"] = row["object"].pop("k")
        return RowError("no")

    given_rows = rows_of([{"list": [0], "object": {"k": {"z": 1}}}])
    transform(process).apply(given_rows)
    assert given_rows.to_dicts() == [{"list": [0], "object": {"k": {"z": 1}}}]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
        ("\ud800", "lone surrogate"),
        ({1: 2}, "key"),
        (object(), "type object"),
        (datetime(2024, 1, 1), "without a time zone"),  # noqa: DTZ001 - that is what is refused
        ([{"deep": {3}}], "type set"),
    ],
)
def test_a_value_that_no_row_can_hold_is_an_error_of_that_row(value, why):
    found = applied(transform(lambda row: {"v": value} if row["a"] else row), [{"a": 0}, {"a": 1}])
    assert found[0] == {"a": 0}
    assert (found[1]["reason"], found[1]["field"]) == ("invalid_value", "v")
    assert why in found[1]["error"]


def test_a_key_that_is_no_text_is_an_error_of_that_row():
    assert applied(transform(lambda _: {5: 1}), [{}])[0]["reason"] == "invalid_value"


def test_every_type_of_the_value_domain_comes_back():
    row = {
        "d": Decimal("1.10"),
        "t": datetime(2024, 1, 1, tzinfo=UTC),
        "b": b"\xff",
        "i": 2**80,
        "f": 1.0,
        "n": None,
    }
    assert applied(transform(lambda _: dict(row)), [{}]) == [row]


def test_original_headers_of_fields_that_keep_their_names():
    done = transform(lambda row: {"b": row["b"], "z": 1}).apply(
        rows_of([{"a": 1, "b": 2}], {"a": "A", "b": "B"})
    )
    assert done.rows.originals == {"b": "B"}


def test_an_exception_names_the_row():
    given_rows = rows_of([{"a": 1}, {"a": 0}], first=40)
    with pytest.raises(PluginError, match="ZeroDivisionError") as caught:
        transform(lambda row: {"x": 1 / row["a"]}).apply(given_rows)
    assert caught.value.token == given_rows.tokens[1].as_py()
    assert not caught.value.retryable
    assert isinstance(caught.value.cause, ZeroDivisionError)


def test_a_passing_trouble_can_be_tried_again():
    def process(row: dict[str, Any]) -> None:
        raise TransientError

    with pytest.raises(PluginError) as caught:
        transform(process).apply(rows_of([{}]))
    assert caught.value.retryable


@pytest.mark.parametrize("result", [None, 5, [("a", 1)]])
def test_a_result_that_is_no_row_is_a_bug(result):
    with pytest.raises(PluginError, match="it returns a dict or a RowError"):
        transform(lambda _: result).apply(rows_of([{}]))


def test_details_that_cannot_be_recorded_are_a_bug():
    with pytest.raises(PluginError, match="details of a RowError"):
        transform(lambda _: RowError("no", {"x": object()})).apply(rows_of([{}]))


def test_interrupts_pass():
    def process(row: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transform(process).apply(rows_of([{}]))
