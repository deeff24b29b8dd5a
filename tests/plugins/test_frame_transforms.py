"""A user's transform that sees a pandas frame."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from transforming import Row, applied, exactly, made, rows, rows_of

from elspeth_dagster.plugins.base import FrameResult, FrameTransform, PluginError

Process = Callable[[pd.DataFrame], Any]
RAGGED: list[Row] = [{"a": 1, "s": "x"}, {"s": "y", "a": None}, {"a": 3}, {"j": [1], "a": 4, "s": "z"}]


def transform(process: Process, schema: dict[str, Any] | None = None) -> FrameTransform:
    class Made(FrameTransform):
        def process(self, frame: pd.DataFrame) -> FrameResult:
            return process(frame)

    return made(Made, schema)


def test_columns_have_arrow_types_and_others_hold_objects():
    seen = {}

    def process(frame: pd.DataFrame) -> FrameResult:
        seen.update(frame.dtypes.astype(str))
        return FrameResult(frame)

    given_rows = [
        {"i": 1, "f": 1.5, "s": "x", "b": True, "d": date(2024, 1, 1), "j": [1]},
        {"i": 2, "j": {"k": 1}},
    ]
    assert exactly(applied(transform(process), given_rows)) == exactly(given_rows)
    assert seen == {
        "i": "int64[pyarrow]",
        "f": "double[pyarrow]",
        "s": "string[pyarrow]",
        "b": "bool[pyarrow]",
        "d": "date32[day][pyarrow]",
        "j": "object",
    }


def test_absent_comes_as_null_and_stays_absent_unless_it_is_set():
    def process(frame: pd.DataFrame) -> FrameResult:
        frame["double"] = frame["a"] * 2.5
        frame.loc[2, "s"] = "set"
        return FrameResult(frame)

    assert exactly(applied(transform(process), RAGGED)) == exactly(
        [
            {"a": 1, "s": "x", "double": 2.5},
            {"s": "y", "a": None, "double": None},
            {"a": 3, "s": "set", "double": 7.5},
            {"j": [1], "a": 4, "s": "z", "double": 10.0},
        ]
    )


def test_rejected_rows_by_mask_and_reason_left_in_or_out():
    def process(frame: pd.DataFrame) -> FrameResult:
        bad = frame["a"].fillna(0) > 3
        return FrameResult(frame[~bad].drop(columns="j"), bad, pd.Series("too large", index=frame.index))

    assert applied(transform(process), RAGGED) == [*RAGGED[:3], {"reason": "too large"}]
    assert applied(transform(lambda frame: FrameResult(frame, frame["a"].isna())), RAGGED)[1] == {
        "reason": "rejected"
    }


def test_rows_come_back_in_their_order():
    assert applied(transform(lambda frame: FrameResult(frame[::-1])), RAGGED) == RAGGED


def test_missing_values_of_every_kind_are_null():
    def process(frame: pd.DataFrame) -> FrameResult:
        frame["n"] = [np.nan, 1.0, 2.0]
        frame["o"] = [pd.NA, None, {"k": 1}]
        frame["i"] = pd.array([1, None, 3], dtype="Int64")
        frame["c"] = pd.Categorical(["u", None, "v"])
        frame["t"] = pd.to_datetime(["2024-01-01", None, "2024-01-02"], utc=True)
        frame["u"] = np.array([1, 2, 3], dtype="uint8")
        return FrameResult(frame)

    start = datetime(2024, 1, 1, tzinfo=UTC)
    found = applied(transform(process), [{}, {}, {}])
    assert found[0] == {"n": None, "o": None, "i": 1, "c": "u", "t": start, "u": 1}
    assert found[1] == {"n": 1.0, "o": None, "i": None, "c": None, "t": None, "u": 2}
    assert found[2]["o"] == {"k": 1}


def test_a_value_that_no_row_can_hold_is_an_error_of_that_row():
    def process(frame: pd.DataFrame) -> FrameResult:
        frame["f"] = [1.0, float("inf"), 3.0]
        frame["o"] = [{1, 2}, None, "\ud800"]
        return FrameResult(frame)

    found = applied(transform(process), [{}, {}, {}])
    assert [(row["reason"], row["field"]) for row in found] == [
        ("invalid_value", "o"),
        ("invalid_value", "f"),
        ("invalid_value", "o"),
    ]


def test_times_without_a_zone_are_errors():
    def process(frame: pd.DataFrame) -> FrameResult:
        return FrameResult(frame.assign(t=pd.Timestamp("2024-01-01")))

    assert "without a time zone" in applied(transform(process), [{}])[0]["error"]


def test_declared_fields_are_there_with_their_type():
    def process(frame: pd.DataFrame) -> FrameResult:
        return FrameResult(frame.assign(upper=frame["s"].str.upper(), more=frame["i"] + 1))

    schema = {"mode": "flexible", "fields": ["s: str?", "i: int?"]}
    assert applied(transform(process, schema), [{}, {"s": None}]) == [
        {"upper": None, "more": None},
        {"s": None, "upper": None, "more": None},
    ]


def test_columns_that_are_dropped_or_renamed():
    def process(frame: pd.DataFrame) -> FrameResult:
        return FrameResult(frame.drop(columns="a").rename(columns={"b": "z"}))

    done = transform(process).apply(rows_of([{"a": 1, "b": 2, "c": 3}], {"a": "A", "b": "B", "c": "C"}))
    assert done.rows.to_dicts() == [{"c": 3, "z": 2}]
    assert done.rows.originals == {"c": "C"}


@pytest.mark.parametrize(
    ("process", "message"),
    [
        (lambda frame: frame, "it returns a FrameResult"),
        (lambda _: FrameResult({"a": 1}), "it must be a DataFrame"),
        (
            lambda frame: FrameResult(frame.iloc[:2]),
            "has lost 2 rows that are not rejected, the first with index 2",
        ),
        (lambda frame: FrameResult(frame.set_axis([0, 1, 2, 77])), "unknown index 77"),
        (lambda frame: FrameResult(frame.set_axis([0, 1, 2, 2])), "several rows with one index"),
        (lambda frame: FrameResult(frame, frame["a"] > 3), "true or false for each row"),
        (lambda frame: FrameResult(frame, pd.Series([True])), "must have the index"),
        (lambda frame: FrameResult(frame, [True] * 4), "must be a Series"),
        (lambda frame: FrameResult(frame.rename(columns={"a": 5})), "name is not text"),
        (lambda frame: FrameResult(frame.rename(columns={"a": "s"})), "several columns called 's'"),
        (lambda _: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_bugs(process, message):
    with pytest.raises(PluginError, match=message) as caught:
        transform(process).apply(rows_of(RAGGED))
    assert caught.value.token is None


def test_a_bug_over_a_single_row_names_it():
    given_rows = rows_of([{"a": 1}])
    with pytest.raises(PluginError) as caught:
        transform(lambda _: 1 / 0).apply(given_rows)
    assert caught.value.token == given_rows.tokens[0].as_py()


@settings(max_examples=100)
@given(rows())
def test_an_untouched_frame_gives_the_same_rows(given_rows):
    before = rows_of(given_rows)
    assert exactly(applied(transform(FrameResult), given_rows)) == exactly(given_rows)
    assert transform(FrameResult).apply(before).rows.hashes.equals(before.hashes)
