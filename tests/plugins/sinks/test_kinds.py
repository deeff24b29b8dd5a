from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from sink_cases import CELLS

from elspeth_dagster.plugins.sinks.kinds import Kind, kind_set, kinds_of, plain_type
from elspeth_dagster.rows.rows import Column


def kind_of(value):
    """The kind of a value, the obvious way."""
    if value is None:
        return Kind.NULL
    if isinstance(value, bool):
        return Kind.BOOL
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            return Kind.BIG_INT
        return Kind.INT if int(float(value)) == value else Kind.WIDE_INT
    types = {
        float: Kind.FLOAT,
        str: Kind.STRING,
        datetime: Kind.TIMESTAMP,
        date: Kind.DATE,
        bytes: Kind.BYTES,
        Decimal: Kind.DECIMAL,
    }
    return types.get(type(value), Kind.CONTAINER)


EDGES = [2**53, 2**53 + 1, -(2**53) - 1, 2**60, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**400, 1e16, -0.0]
VALUES = CELLS | st.sampled_from([*EDGES, {"$elspeth": 1}, datetime(2024, 1, 1, tzinfo=UTC)])


@settings(max_examples=150)
@given(st.lists(VALUES, max_size=10))
def test_each_value_has_its_kind(values):
    kinds = [kind_of(value) for value in values]
    column = Column.of(values)
    assert kinds_of(column).tolist() == kinds
    assert kind_set(column) == set(kinds) - {Kind.NULL}


@settings(max_examples=60)
@given(st.lists(st.sampled_from([value for value in EDGES if isinstance(value, int) and abs(value) < 2**63])))
def test_integers_are_told_apart_by_what_holds_them(values):
    assert kinds_of(Column.of(values)).tolist() == [kind_of(value) for value in values]


def test_what_text_can_be_read_as():
    assert plain_type({"INT", "WIDE_INT"}) == "int"
    assert plain_type({"INT", "FLOAT"}) == "float"
    assert plain_type({"WIDE_INT", "FLOAT"}) == "string"
    assert plain_type({"BOOL"}) == "bool"
    assert plain_type({"BOOL", "INT"}) == plain_type(set()) == "string"
