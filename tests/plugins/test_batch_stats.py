"""Counts, sums and means over batches (settings reference, 5.4, and its difference 18)."""

import math
from decimal import Decimal

import pytest
from batching import Done, at_once, folded, made
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from transforming import Row, exactly, texts

from elspeth_dagster.plugins.aggregations.batch_stats import BatchStats


def stats(rows: list[Row], **options: object) -> Done:
    done = folded(made(BatchStats, value_field="v", **options), rows)
    assert at_once(made(BatchStats, value_field="v", **options), [rows]) == [done]
    return done


def test_one_row_with_its_keys_in_order():
    done = stats([{"v": 1}, {"v": 2, "x": "y"}, {"v": 3}])
    assert exactly(done.rows) == exactly(
        [{"count": 3, "sum": 6, "batch_size": 3, "mean": 2.0, "skipped_non_finite": 0}]
    )


def test_without_mean():
    done = stats([{"v": 1}], compute_mean=False)
    assert list(done.rows[0]) == ["count", "sum", "batch_size", "skipped_non_finite"]


@pytest.mark.parametrize(
    ("values", "total", "mean"),
    [
        ([1, 2.0], 3.0, 1.5),
        ([2**62, 2**62, 2**62], 3 * 2**62, float(2**62)),
        ([10**30, 1], 10**30 + 1, (10**30 + 1) / 2),
        ([10**30, 0.5], 1e30, 5e29),
        ([0.1] * 10, 1.0, 0.1),
        ([1e16, 1.0, -1e16], 1.0, 1 / 3),
        ([1e308, 1e308, -1e308], 1e308, 1e308 / 3),
        ([5e-324, 5e-324], 1e-323, 5e-324),
        ([-0.0], 0.0, 0.0),
        ([-3, 2], -1, -0.5),
    ],
)
def test_sums_are_exact(values, total, mean):
    row = stats([{"v": value} for value in values]).rows[0]
    assert exactly([row]) == exactly(
        [{**row, "count": len(values), "sum": total, "mean": mean, "batch_size": len(values)}]
    )


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "null"),
        ("3", "text"),
        (True, "bool"),
        ([1], "list or object"),
        (Decimal("1.5"), "decimal"),
    ],
)
def test_members_without_a_number_are_rejected(value, found):
    done = stats([{"v": 1}, {"v": value}, {"w": 5}, {"v": 2}])
    assert done.rejected == {
        1: {"reason": "type_mismatch", "field": "v", "expected": "number", "found": found},
        2: {"reason": "missing_field", "field": "v"},
    }
    assert done.rows == [{"count": 2, "sum": 3, "batch_size": 4, "mean": 1.5, "skipped_non_finite": 0}]


def test_groups_by_first_appearance():
    rows = [{"k": "b", "v": 1}, {"k": "a", "v": 2}, {"k": "b", "v": 3.5}, {"k": None, "v": 4}, {"v": 5}]
    done = stats(rows, group_by="k")
    assert [(row["k"], row["count"], row["sum"]) for row in done.rows] == [
        ("b", 2, 4.5),
        ("a", 1, 2),
        (None, 1, 4),
    ]
    assert list(done.rows[0])[-1] == "k"
    assert done.rejected == {4: {"reason": "missing_field", "field": "k"}}


def test_what_is_one_group():
    keys = [1, 1.0, True, "1", [1], {"a": 1}, [1.0], "true"]
    done = stats([{"k": key, "v": 1} for key in keys], group_by="k")
    assert exactly([{"k": row["k"]} for row in done.rows]) == exactly(
        [{"k": 1}, {"k": True}, {"k": "1"}, {"k": [1]}, {"k": {"a": 1}}, {"k": "true"}]
    )
    assert [row["count"] for row in done.rows] == [2, 1, 1, 2, 1, 1]


def test_a_group_of_rejected_members_gives_no_row():
    done = stats([{"k": "x", "v": "?"}, {"k": "y", "v": 1}, {"k": "y", "v": None}], group_by="k")
    assert done.rows == [
        {"count": 1, "sum": 1, "batch_size": 2, "mean": 1.0, "skipped_non_finite": 0, "k": "y"}
    ]
    assert sorted(done.rejected) == [0, 2]


def test_a_batch_without_any_number_comes_to_nothing():
    done = stats([{"v": "x"}, {}])
    assert done.error == {"reason": "nothing_to_add_up", "field": "v"}
    assert sorted(done.rejected) == [0, 1]


@pytest.mark.parametrize("values", [[1e308, 1e308], [10**400, 0.5], [10**400]])
def test_what_is_past_all_floats(values):
    done = stats([{"v": value} for value in values])
    assert done.error == {"reason": "overflow", "field": "v"}
    assert not done.rows


def test_large_integers_have_a_sum_without_a_mean():
    assert stats([{"v": 10**400}, {"v": 1}], compute_mean=False).rows[0]["sum"] == 10**400 + 1


def test_a_sum_of_too_many_digits():
    done = stats([{"v": 10**4300 - 1}, {"v": 1}], compute_mean=False)
    assert done.error["reason"] == "invalid_value"


def test_a_failed_group_fails_its_batch_alone():
    plugin = made(BatchStats, value_field="v", group_by="k")
    bad = [{"k": 1, "v": 1}, {"k": 2, "v": 1e308}, {"k": 2, "v": 1e308}]
    good = [{"k": 2, "v": 1}]
    first, second = at_once(plugin, [bad, good])
    assert first == folded(plugin, bad)
    assert first.error == {"reason": "overflow", "field": "v"}
    assert [row["sum"] for row in second.rows] == [1]


def test_the_original_header_of_the_group_goes_along():
    from transforming import rows_of  # noqa: PLC0415

    fold = made(BatchStats, value_field="v", group_by="k").fold()
    fold.add(rows_of([{"k": 1, "v": 1}], {"k": "The K", "v": "The V"}), range(1))
    assert next(fold.finish().rows).originals == {"k": "The K"}


@pytest.mark.parametrize("name", ["count", "sum", "batch_size", "mean", "skipped_non_finite"])
def test_a_group_called_as_an_output(name):
    with pytest.raises(ValidationError, match=f"'{name}' is a field of the output"):
        made(BatchStats, value_field="v", group_by=name)


numbers = (
    st.integers(-100, 100)
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-1e6, 1e6)
)
members = st.fixed_dictionaries(
    {}, optional={"v": numbers | st.none() | texts, "k": st.sampled_from(["x", "y", None, 1])}
)
batches = st.lists(st.lists(members, min_size=1, max_size=12), min_size=1, max_size=4)


def expected(batch: list[Row], group_by: str | None) -> list[Row] | None:
    """Row by row; `None` when the batch fails."""
    groups: dict[object, tuple[list[float], list[Row]]] = {}
    for row in batch:
        if group_by is None or group_by in row:
            used, every = groups.setdefault(row[group_by] if group_by else None, ([], []))
            every.append(row)
            if type(row.get("v")) in (int, float):
                used.append(row["v"])
    done = []
    for key, (used, every) in groups.items():
        if used:
            try:
                total = sum(used) if all(type(v) is int for v in used) else exact_sum(used)
            except OverflowError:
                return None
            row = {"count": len(used), "sum": total, "batch_size": len(every), "mean": total / len(used)}
            done.append({**row, "skipped_non_finite": 0, **({"k": key} if group_by else {})})
    return done or None


def exact_sum(values: list[float]) -> float:
    """`math.fsum`, which gives up when it overflows on the way to a sum that does not."""
    try:
        return math.fsum(values)
    except OverflowError:
        return math.fsum(value / 2**20 for value in values) * 2**20


@pytest.mark.parametrize("group_by", [None, "k"])
@given(batches=batches, step=st.integers(1, 5))
@example(batches=[[{"v": 1.5, "k": 1}, {"v": 2**60 + 1, "k": 1}]], step=1)
def test_the_same_whatever_the_slices(group_by, batches, step):
    plugin = made(BatchStats, value_field="v", group_by=group_by)
    together = at_once(plugin, batches)
    for batch, many in zip(batches, together, strict=True):
        done = folded(plugin, batch, step=step)
        assert done == many
        assert exactly(done.rows) == exactly(many.rows)
        wanted = expected(batch, group_by)
        if wanted is not None and all(math.isfinite(row["sum"]) for row in wanted):
            assert exactly(done.rows) == exactly(wanted)
        else:
            assert done.error is not None
