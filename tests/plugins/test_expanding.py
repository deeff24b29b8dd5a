"""Expanding transforms of one's own."""

import pytest
from transforming import made, rows_of

from elspeth_dagster.plugins import ExpandingRowTransform, RowError, adapters
from elspeth_dagster.plugins.base import PluginError


class Words(ExpandingRowTransform):
    def process(self, row):
        if "text" not in row:
            return RowError("no_text", {"keys": list(row)})
        row["seen"] = True
        return [{"id": row["id"], "word": word} for word in row["text"].split()]


def test_rows_of_a_row():
    done = made(Words).apply(rows_of([{"id": 1, "text": "a b"}, {"id": 2, "text": "c"}]))
    assert done.rows.to_dicts() == [{"id": 1, "word": "a"}, {"id": 1, "word": "b"}, {"id": 2, "word": "c"}]
    assert done.parents.to_pylist() == [0, 0, 1]
    assert not done.errors


def test_errors_and_empty_lists():
    done = made(Words).apply(rows_of([{"id": 1}, {"id": 2, "text": ""}, {"id": 3, "text": "x"}]))
    assert done.errors == {
        0: {"reason": "no_text", "keys": ["id"]},
        1: {"reason": "nothing_to_expand"},
    }
    assert done.parents.to_pylist() == [2]


def test_a_row_with_a_child_that_cannot_be_held():
    class Bad(ExpandingRowTransform):
        def process(self, row):
            return [row, {"x": float("inf")}]

    done = made(Bad).apply(rows_of([{"a": 1}]))
    assert done.errors[0]["reason"] == "invalid_value"
    assert done.rows.num_rows == 0


@pytest.mark.parametrize("result", [None, {"a": 1}, "rows", [1]])
def test_what_is_no_list_of_rows(result):
    class Wrong(ExpandingRowTransform):
        def process(self, row):
            return result

    with pytest.raises(PluginError, match="it returns a list of dicts or a RowError") as caught:
        made(Wrong).apply(rows_of([{"a": 1}], first=7))
    assert caught.value.token == rows_of([{"a": 1}], first=7).tokens[0].as_py()


def test_an_exception_names_its_row():
    with pytest.raises(PluginError, match="KeyError: 'id'") as caught:
        made(Words).apply(rows_of([{"id": 1, "text": "a"}, {"text": "b"}]))
    assert caught.value.token == rows_of([{}], first=1).tokens[0].as_py()


def test_many_rows_come_in_pieces(monkeypatch):
    monkeypatch.setattr(adapters, "_PIECE_ROWS", 3)
    pieces = list(made(Words).expand(rows_of([{"id": n, "text": "a b"} for n in range(5)])))
    assert [piece.parents.to_pylist() for piece in pieces] == [[0, 0, 1, 1], [2, 2, 3, 3], [4, 4]]
