"""Transforms applied to plain rows, and generated rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from elspeth_dagster.plugins.base import Reason, Transform, Transformed
from elspeth_dagster.rows.fields import OBSERVED, Schema, parse_schema
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import root_tokens, row_index

Row = dict[str, Any]


def rows_of(
    rows: Sequence[Mapping[str, Any]], originals: Mapping[str, str] | None = None, first: int = 0
) -> Rows:
    return Rows.from_dicts(root_tokens(first, len(rows)), rows, originals)


def made(plugin: type[Transform], schema: Mapping[str, Any] | None = None, **options: Any) -> Transform:
    parsed: Schema = parse_schema(schema) if schema else OBSERVED
    return plugin(plugin.Options.model_validate(options), parsed)


def outcome(done: Transformed, given: int) -> dict[int, Row | Reason]:
    """What became of each row; checks that every row is in one place, and order and tokens are right."""
    indices = [row_index(token) for token in done.rows.tokens.to_pylist()]
    assert indices == sorted(indices)
    assert sorted([*indices, *done.errors]) == list(range(given))
    for name, column in done.rows.columns.items():
        assert len(column.values) == done.rows.num_rows
        absent = [name not in done.rows.shapes[code] for code in done.rows.shape.to_pylist()]
        assert all(value is None for value, gone in zip(column.to_python(), absent, strict=True) if gone)
    return {**dict(zip(indices, done.rows.to_dicts(), strict=True)), **done.errors}


def applied(transform: Transform, rows: Sequence[Mapping[str, Any]], **more: Any) -> list[Row | Reason]:
    """What became of each row, in order."""
    found = outcome(transform.apply(rows_of(rows, **more)), len(rows))
    return [found[index] for index in range(len(rows))]


def exactly(rows: Sequence[Row | Reason]) -> str:
    """Rows so that key order and types count: `1`, `1.0` and `True` are three values."""
    return repr([list(row.items()) for row in rows])


texts = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0x1F6FF), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from("kz"), scalars, max_size=2)


def rows(names: str = "abcd") -> st.SearchStrategy[list[Row]]:
    """Rows with few keys, so that they meet; in any order."""
    keys = st.lists(st.sampled_from(names), unique=True, max_size=len(names))
    row = keys.flatmap(lambda found: st.fixed_dictionaries(dict.fromkeys(found, values)))
    return st.lists(row, min_size=1, max_size=6)
