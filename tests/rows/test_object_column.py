"""Rows as values of a column: their canonical form is that of the text that they are kept as."""

from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from elspeth_dagster.rows.canonical import canonical_cells
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.texts import csv_cells, json_cells
from elspeth_dagster.rows.tokens import root_tokens

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
    st.sampled_from(
        [1.0, -0.0, 1e16, Decimal("1.50"), date(2026, 1, 2), datetime(2026, 1, 2, 3, tzinfo=UTC), b"x"]
    ),
)
KEYS = st.sampled_from(["a", "b", "é", "😀", "\ufb33", 'say "x"', "$elspeth"])
VALUES = st.one_of(PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(KEYS, PLAIN, max_size=3))


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=5))
def test_canonical_form_of_rows_as_values(dicts: list[dict[str, object]]) -> None:
    column = Rows.from_dicts(root_tokens(0, len(dicts)), dicts).as_column()
    assert column.to_python() == dicts
    assert column.canonical.to_pylist() == canonical_cells(column.values, is_json=True).to_pylist()
    assert column.json_texts.to_pylist() == json_cells(column.values, is_json=True).to_pylist()
    assert column.csv_texts.to_pylist() == csv_cells(column.values, is_json=True).to_pylist()
