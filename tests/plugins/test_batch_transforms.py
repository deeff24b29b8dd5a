"""Batch transforms of one's own, which get a whole batch as a frame."""

import pandas as pd
import pytest
from batching import folded, made

from elspeth_dagster.plugins import BatchError, BatchResult, BatchTransform
from elspeth_dagster.plugins.base import PluginError


def transform(process):
    class Own(BatchTransform):
        def process(self, frame):
            return process(frame)

    return made(Own)


BATCH = [{"k": "x", "v": 1}, {"k": "y", "v": 2}, {"k": "x"}]


@pytest.mark.parametrize("step", [1, 2, None])
def test_new_rows(step):
    def process(frame):
        assert len(frame) == 3
        return BatchResult(frame.groupby("k", sort=False)["v"].sum().reset_index())

    done = folded(transform(process), BATCH, step=step)
    assert done.rows == [{"k": "x", "v": 1}, {"k": "y", "v": 2}]


def test_rejected_members():
    def process(frame):
        missing = frame["v"].isna()
        return BatchResult(pd.DataFrame({"n": [int((~missing).sum())]}), missing, pd.Series(["", "", "no v"]))

    done = folded(transform(process), BATCH)
    assert done.rows == [{"n": 2}]
    assert done.rejected == {2: {"reason": "no v"}}


def test_a_failed_batch():
    done = folded(transform(lambda _: BatchError({"reason": "too_few"})), BATCH)
    assert done.error == {"reason": "too_few"}


def test_rows_that_cannot_be_held_fail_the_batch():
    done = folded(transform(lambda _: BatchResult(pd.DataFrame({"x": [1.0, float("inf")]}))), BATCH)
    assert done.error["reason"] == "invalid_value"
    assert done.error["row"] == 1


def test_no_rows_at_all():
    done = folded(transform(lambda frame: BatchResult(frame.iloc[:0])), BATCH)
    assert (done.rows, done.error) == ([], None)


def test_members_again():
    def process(frame):
        frame["w"] = frame["v"] * 2
        return BatchResult(frame.iloc[::-1])

    done = folded(transform(process), BATCH, passthrough=True)
    assert done.rows == [
        {"k": "x", "v": 1, "w": 2},
        {"k": "y", "v": 2, "w": 4},
        {"k": "x", "w": None},
    ]


@pytest.mark.parametrize("keep", [True, False])
def test_members_again_without_those_rejected(keep):
    def process(frame):
        rejected = frame["k"] == "y"
        return BatchResult(frame if keep else frame[~rejected], rejected)

    done = folded(transform(process), BATCH, passthrough=True)
    assert done.rows == [BATCH[0], BATCH[2]]
    assert done.rejected == {1: {"reason": "rejected"}}


def test_members_again_with_a_value_that_cannot_be_held():
    def process(frame):
        return BatchResult(frame.assign(z=[1.0, float("inf"), 3.0]))

    done = folded(transform(process), BATCH, passthrough=True)
    assert [row["z"] for row in done.rows] == [1.0, 3.0]
    assert done.rejected[1]["reason"] == "invalid_value"


def test_too_many_rows_are_left_to_whoever_counts():
    def process(frame):
        return BatchResult(pd.concat([frame, frame]))

    assert len(folded(transform(process), BATCH, passthrough=True).rows) == 6


def test_members_that_are_none():
    with pytest.raises(PluginError, match="unknown index"):
        folded(transform(lambda frame: BatchResult(frame.set_axis([5, 6, 7]))), BATCH, passthrough=True)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "it returns a BatchResult or a BatchError"),
        (BatchResult([1]), "'frame' is a list; it must be a DataFrame"),
        (BatchResult(pd.DataFrame({1: [2]})), "name is not text"),
        (BatchResult(pd.DataFrame({"a": [2]}), pd.Series([True])), "'rejected' must have the index"),
    ],
)
def test_what_is_no_result(result, message):
    with pytest.raises(PluginError, match=message):
        folded(transform(lambda _: result), BATCH)


def test_an_exception():
    def process(frame):
        raise ZeroDivisionError("no")

    with pytest.raises(PluginError, match="ZeroDivisionError: no"):
        folded(transform(process), BATCH)


def test_declared_fields_are_columns_whatever_the_batch_has():
    class Own(BatchTransform):
        def process(self, frame):
            return BatchResult(pd.DataFrame({"type": [str(frame["w"].dtype)]}))

    plugin = made(Own, {"mode": "flexible", "fields": ["w: int?"]})
    assert folded(plugin, BATCH).rows == [{"type": "int64[pyarrow]"}]
