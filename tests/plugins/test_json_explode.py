"""Lists taken apart (settings reference, 4.6, and its difference 19)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transforming import Row, exactly, made, rows, rows_of, values

from elspeth_dagster.plugins import windows
from elspeth_dagster.plugins.base import Expanded, Reason
from elspeth_dagster.plugins.transforms.json_explode import JsonExplode


def exploded(given_rows: list[Row], **options: object) -> tuple[list[list[Row]], dict[int, Reason]]:
    """Per row what came of it, and the errors; checks that pieces follow each other."""
    transform = made(JsonExplode, **{"array_field": "items", **options})
    children: list[list[Row]] = [[] for _ in given_rows]
    errors: dict[int, Reason] = {}
    last = 0
    for piece in transform.expand(rows_of(given_rows)):
        parents = piece.parents.to_pylist()
        assert parents == sorted(parents)
        assert not parents or parents[0] >= last
        assert not parents or len(children[parents[0]]) == piece.first_ordinal
        for parent, row in zip(parents, piece.rows.to_dicts(), strict=True):
            children[parent].append(row)
            last = parent
        errors |= piece.errors
    assert all(bool(found) is not (position in errors) for position, found in enumerate(children))
    return children, errors


def test_a_row_for_each_element():
    children, errors = exploded([{"id": 1, "items": ["x", 2, None, [3], {"k": 1.0}], "s": "y"}])
    assert exactly(children[0]) == exactly(
        [
            {"id": 1, "s": "y", "item": "x", "item_index": 0},
            {"id": 1, "s": "y", "item": 2, "item_index": 1},
            {"id": 1, "s": "y", "item": None, "item_index": 2},
            {"id": 1, "s": "y", "item": [3], "item_index": 3},
            {"id": 1, "s": "y", "item": {"k": 1.0}, "item_index": 4},
        ]
    )
    assert not errors


def test_one_element_gives_one_child():
    assert exploded([{"items": [7]}])[0] == [[{"item": 7, "item_index": 0}]]


def test_names_and_no_index():
    children, _ = exploded([{"l": [1, 2]}], array_field="l", output_field="n", include_index=False)
    assert children == [[{"n": 1}, {"n": 2}]]


def test_numbers_stay_exact():
    items = [10**40, 2**63, 1.0, 1, -0.0, 123456789012345678901234567890]
    children, _ = exploded([{"items": items}])
    assert exactly(children[0]) == exactly(
        [{"item": item, "item_index": index} for index, item in enumerate(items)]
    )


def test_rows_in_error():
    _, errors = exploded(
        [
            {"a": 1},
            {"items": None},
            {"items": "[1]"},
            {"items": {"a": 1}},
            {"items": 5},
            {"items": []},
            {"items": [1], "item": 2},
            {"items": [1], "item_index": None},
            {"items": [1]},
        ]
    )
    mismatch = {"reason": "type_mismatch", "field": "items", "expected": "list"}
    assert errors == {
        0: {"reason": "missing_field", "field": "items"},
        1: {**mismatch, "found": "null"},
        2: {**mismatch, "found": "text"},
        3: {**mismatch, "found": "object"},
        4: {**mismatch, "found": "int"},
        5: {"reason": "nothing_to_expand", "field": "items"},
        6: {"reason": "field_collision", "field": "item"},
        7: {"reason": "field_collision", "field": "item_index"},
    }


def test_no_row_has_the_field():
    assert sorted(exploded([{"a": 1}, {}])[1]) == [0, 1]


def test_the_list_may_be_called_as_the_index():
    children, errors = exploded([{"item_index": [5]}], array_field="item_index")
    assert (children, errors) == ([[{"item": 5, "item_index": 0}]], {})


def test_original_headers_stay_with_their_fields():
    given_rows = rows_of([{"a": 1, "items": [1]}], {"a": "The A", "items": "The Items"})
    done = made(JsonExplode, array_field="items").apply(given_rows)
    assert isinstance(done, Expanded)
    assert done.rows.originals == {"a": "The A"}


def test_what_it_guarantees():
    schema = {"mode": "fixed", "fields": ["a: int", "items: any", "b: str?"]}
    assert made(JsonExplode, schema, array_field="items").guarantees() == {"a", "item", "item_index"}
    plain = made(JsonExplode, schema, array_field="items", include_index=False)
    assert plain.guarantees() == {"a", "item"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"array_field": ""},
        {"array_field": "a", "output_field": "a"},
        {"array_field": "a", "output_field": "item_index"},
        {"array_field": "a", "on_success": "out"},
        {"array_field": "a", "required_input_fields": ["a"]},
    ],
)
def test_options_that_are_refused(options):
    with pytest.raises(ValidationError):
        made(JsonExplode, **options)


def test_long_lists_come_in_pieces(monkeypatch):
    monkeypatch.setattr(windows, "_MOST_ROWS", 10)
    children, _ = exploded([{"items": list(range(count))} for count in (3, 25, 10, 1, 1)])
    assert [len(found) for found in children] == [3, 25, 10, 1, 1]
    assert [row["item"] for row in children[1]] == list(range(25))
    assert [row["item_index"] for row in children[1]] == list(range(25))


lists = st.lists(values, max_size=4)


def with_lists(found: list[Row]) -> st.SearchStrategy[list[Row]]:
    return st.tuples(
        *(
            st.none().map(lambda _, row=row: row) | lists.map(lambda items, row=row: {**row, "items": items})
            for row in found
        )
    ).map(list)


@given(rows().flatmap(with_lists), st.integers(1, 5))
def test_as_row_by_row(given_rows, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "_MOST_ROWS", most)
        children, errors = exploded(given_rows)
    for position, row in enumerate(given_rows):
        items = row.get("items")
        if not items:
            assert position in errors
            continue
        rest = {key: value for key, value in row.items() if key != "items"}
        assert exactly(children[position]) == exactly(
            [{**rest, "item": item, "item_index": index} for index, item in enumerate(items)]
        )
