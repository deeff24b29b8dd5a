"""Members copied (settings reference, 5.5, and its difference 12)."""

import pytest
from batching import at_once, folded, made
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transforming import exactly, rows_of

from elspeth_dagster.plugins import windows
from elspeth_dagster.plugins.aggregations import spool
from elspeth_dagster.plugins.aggregations.batch_replicate import BatchReplicate


def test_each_member_as_often_as_it_says():
    done = folded(made(BatchReplicate), [{"a": 1, "copies": 2}, {"b": "x"}, {"copies": 3, "a": None}])
    assert exactly(done.rows) == exactly(
        [
            {"a": 1, "copies": 2, "copy_index": 0},
            {"a": 1, "copies": 2, "copy_index": 1},
            {"b": "x", "copy_index": 0},
            {"copies": 3, "a": None, "copy_index": 0},
            {"copies": 3, "a": None, "copy_index": 1},
            {"copies": 3, "a": None, "copy_index": 2},
        ]
    )


def test_options():
    plugin = made(BatchReplicate, copies_field="n", default_copies=2, include_copy_index=False)
    assert folded(plugin, [{"n": 1}, {"copies": 5}]).rows == [{"n": 1}, {"copies": 5}, {"copies": 5}]


def test_a_column_called_copy_index_is_written_over_where_it_stands():
    done = folded(made(BatchReplicate), [{"copy_index": "x", "copies": 1}, {"copies": 1}])
    assert exactly(done.rows) == exactly([{"copy_index": 0, "copies": 1}, {"copies": 1, "copy_index": 0}])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0, {"reason": "out_of_range", "max": 3}),
        (4, {"reason": "out_of_range", "max": 3}),
        (10**30, {"reason": "out_of_range", "max": 3}),
        ("2", {"reason": "type_mismatch", "expected": "int", "found": "text"}),
        (2.0, {"reason": "type_mismatch", "expected": "int", "found": "float"}),
        (True, {"reason": "type_mismatch", "expected": "int", "found": "bool"}),
        (None, {"reason": "type_mismatch", "expected": "int", "found": "null"}),
    ],
)
def test_members_that_cannot_be_copied_are_rejected(value, reason):
    batch = [{"copies": 1}, {"copies": value}]
    plugin = made(BatchReplicate, max_copies=3)
    done = folded(plugin, batch)
    assert done.rejected == {1: {**reason, "field": "copies"}}
    assert done.rows == [{"copies": 1, "copy_index": 0}]
    assert at_once(plugin, [batch]) == [done]


def test_a_batch_of_rejected_members_comes_to_nothing():
    batch = [{"copies": 0}, {"copies": "x"}]
    done = folded(made(BatchReplicate), batch)
    assert done.error == {"reason": "nothing_to_copy", "field": "copies"}
    assert sorted(done.rejected) == [0, 1]
    assert at_once(made(BatchReplicate), [batch, [{"copies": 1}]])[0] == done


@pytest.mark.parametrize("options", [{"default_copies": 3, "max_copies": 2}, {"max_copies": 10_001}])
@pytest.mark.parametrize("more", [{}, {"default_copies": True}])
def test_options_that_do_not_fit(options, more):
    with pytest.raises(ValidationError):
        made(BatchReplicate, **{**options, **more})


def test_large_outputs_come_in_slices(monkeypatch):
    monkeypatch.setattr(windows, "_MOST_ROWS", 10)
    fold = made(BatchReplicate).fold()
    fold.add(rows_of([{"copies": copies} for copies in (3, 25, 4, 5, 10)]), range(5))
    sizes = [rows.num_rows for rows in fold.finish().rows]
    assert sizes == [3, 10, 10, 5, 9, 10]


def test_large_rows_come_in_small_slices(monkeypatch):
    monkeypatch.setattr(windows, "_MOST_BYTES", 1000)
    fold = made(BatchReplicate).fold()
    fold.add(rows_of([{"copies": 5, "text": "x" * 400}, {"copies": 2, "text": "x" * 4000}]), range(2))
    pieces = list(fold.finish().rows)
    assert [rows.num_rows for rows in pieces] == [2, 2, 1, 1, 1]
    assert [row["copy_index"] for rows in pieces for row in rows.to_dicts()] == [0, 1, 2, 3, 4, 0, 1]


def test_so_many_copies_are_not_made_at_once():
    rows = rows_of([{"copies": 10_000}] * 51)
    import numpy as np  # noqa: PLC0415

    assert made(BatchReplicate).apply_many(rows, np.zeros(51, np.int64)) is None


def test_many_members_wait_on_disk(monkeypatch):
    monkeypatch.setattr(spool, "_MOST_BYTES", 100)
    batch = [{"copies": 2, "n": number, "s": "x" * 20, "l": [number]} for number in range(30)]
    done = folded(made(BatchReplicate), batch, step=4)
    assert [(row["n"], row["copy_index"]) for row in done.rows] == [
        (number, index) for number in range(30) for index in range(2)
    ]
    assert done.rows[-1]["l"] == [29]


members = st.fixed_dictionaries({}, optional={"copies": st.integers(-1, 4) | st.none(), "a": st.integers()})


@given(st.lists(st.lists(members, min_size=1, max_size=6), min_size=1, max_size=3), st.integers(1, 3))
def test_the_same_whatever_the_slices(batches, step):
    plugin = made(BatchReplicate, max_copies=3)
    for batch, many in zip(batches, at_once(plugin, batches), strict=True):
        done = folded(plugin, batch, step=step)
        assert done == many
        assert exactly(done.rows) == exactly(many.rows)
        assert exactly(done.rows) == exactly(
            [
                {**row, "copy_index": index}
                for position, row in enumerate(batch)
                if position not in done.rejected
                for index in range(row.get("copies", 1))
            ]
        )
