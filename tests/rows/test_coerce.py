"""Coercion of declared fields: the tables of the format, by value and by column."""

import math
from decimal import Decimal

import pyarrow as pa
import pytest
from cell_values import json_values, same
from hypothesis import example, given
from hypothesis import strategies as st

from elspeth_dagster.rows.coerce import coerce_column, coerce_text_column, coerce_value
from elspeth_dagster.rows.errors import CoercionError
from elspeth_dagster.rows.fields import FieldSpec, FieldType
from elspeth_dagster.rows.values import build_column, decode_value

INT, FLOAT, BOOL, STR, ANY = FieldType.INT, FieldType.FLOAT, FieldType.BOOL, FieldType.STR, FieldType.ANY
TRUE_WORDS = ["true", "True", "TRUE", "tRuE", "t", "T", "yes", "YES", "y", "Y", "on", "ON", "1"]
FALSE_WORDS = ["false", "False", "FALSE", "f", "F", "no", "NO", "n", "N", "off", "OFF", "0"]
NOTHING = ["", " ", "\t", "None", "null"]

ACCEPTED_TEXT = {
    INT: {
        "42": 42, " 42 ": 42, "\t42\n": 42, "+5": 5, "-3": -3, "007": 7, "1_000": 1000, "1_0_0": 100,
        "1.0": 1, "1.00000": 1, "-0": 0, "-0.0": 0, "+007.0": 7, " 1_000.0 ": 1000, "0" * 5000 + "1": 1,
        "9223372036854775807": 2**63 - 1, "-9223372036854775808": -(2**63), "9223372036854775808": 2**63,
        "1" + "0" * 30: 10**30, "9" * 4300: 10**4300 - 1, "\u00a042\u2003": 42,
    },
    FLOAT: {
        " 1.5 ": 1.5, "1e3": 1000.0, "1E-3": 0.001, "1_000": 1000.0, "+1.5": 1.5, ".5": 0.5, "5.": 5.0,
        "-.5": -0.5, "42": 42.0, "-0": -0.0, "0.1": 0.1, "1e308": 1e308, "1e-400": 0.0, "007.5": 7.5,
        "1_0.5_0e1_0": 10.5e10, "9" * 200: float("9" * 200),
        "123456789012345678901234567890": 123456789012345678901234567890.0,
        "1.7976931348623157e308": 1.7976931348623157e308, "2.2250738585072011e-308": 2.2250738585072011e-308,
        "0." + "0" * 120 + "1": 1e-121,
    },
    BOOL: {
        **dict.fromkeys(TRUE_WORDS, True),
        **dict.fromkeys(FALSE_WORDS, False),
    },
    STR: {text: text for text in ["", " ", " a ", "42", "true", "None", "nan", "é"]},
    ANY: {text: text for text in ["", " ", " a ", "42", "true", "None", "nan", "é"]},
}  # fmt: skip
REFUSED_TEXT = {
    INT: [
        *NOTHING, "1.5", "1.", ".0", "1e3", "0x10", "1,000", "true", "nan", "٣", "\uff14\uff12", "1__0", "_1",
        "1_", "+-5", "--5", "+", "-", "- 5", "1 0", "1.0.0", "1.0_0", "inf", "9" * 4301, "²",
    ],
    FLOAT: [
        *NOTHING, "nan", "NaN", "inf", "-inf", "Infinity", "1e400", "-1e400", "1,5", "0x10", "0x1p3", "true",
        "\u0663.\u0665", "1__0", "_1", "1_", "1_.5", "1._5", "1e", "e5", ".", "+-5", "+", "1.5.5", "1e5.5",
        "1d5", "1f", "1e_5", "9" * 400,
    ],
    BOOL: [*NOTHING, " true", "true ", "2", "1.0", "0.0", "-1", "01", "wahr", "ye", "tru"],
}  # fmt: skip

ACCEPTED_JSON = [
    (INT, 5, 5), (INT, 10**30, 10**30), (INT, 1.0, 1), (INT, -0.0, 0), (INT, 1e300, int(1e300)),
    (INT, True, 1), (INT, False, 0), (INT, "1.0", 1), (FLOAT, 1.5, 1.5), (FLOAT, 3, 3.0),
    (FLOAT, 2**53 + 1, float(2**53)), (FLOAT, True, 1.0), (FLOAT, "1e3", 1000.0), (BOOL, 0, False),
    (BOOL, 1, True), (BOOL, 0.0, False), (BOOL, 1.0, True), (BOOL, True, True), (BOOL, "off", False),
    (STR, "", ""), (STR, "x", "x"), (ANY, None, None), (ANY, 1, 1), (ANY, [1, {"a": None}], [1, {"a": None}]),
    (ANY, Decimal("1.5"), Decimal("1.5")),
]  # fmt: skip
REFUSED_JSON = [
    (INT, 1.5, "expected int, found 1.5"), (INT, None, "expected int, found null"),
    (INT, [1], "expected int, found an array"), (INT, {}, "expected int, found an object"),
    (INT, math.inf, "expected int, found inf"), (INT, Decimal(1), "expected int, found Decimal('1')"),
    (FLOAT, None, "expected float, found null"), (FLOAT, math.nan, "expected float, found nan"),
    (FLOAT, 10**400, "expected float, found an integer past its range"),
    (FLOAT, [], "expected float, found an array"), (BOOL, 2, "expected bool, found 2"),
    (BOOL, 0.5, "expected bool, found 0.5"), (BOOL, -1, "expected bool, found -1"),
    (BOOL, 2**70, "expected bool, found an integer past 64 bits"), (BOOL, None, "expected bool, found null"),
    (STR, 1, "expected str, found 1"), (STR, 1.5, "expected str, found 1.5"),
    (STR, True, "expected str, found true"), (STR, None, "expected str, found null"),
    (STR, [], "expected str, found an array"), (ANY, math.nan, "found a number that is not finite: nan"),
    (ANY, {"a": [math.inf]}, "found a number that is not finite: inf"),
    (INT, "x" * 50, f"expected int, found text '{'x' * 40}' and 10 more characters"),
]  # fmt: skip


def by_value(values, spec):
    """What `coerce_value` makes of each value, and the reasons."""
    coerced, reasons = [], {}
    for position, value in enumerate(values):
        try:
            coerced.append(coerce_value(value, spec.type, spec.required))
        except CoercionError as error:
            coerced.append(None)
            reasons[position] = error.reason
    return coerced, reasons


def by_column(values, spec, *, text):
    if text:
        coerced = coerce_text_column(pa.array(values, pa.string()), spec)
    else:
        coerced = coerce_column(*build_column(values), spec)
    got = coerced.values.to_pylist()
    if coerced.is_json:
        got = [None if item is None else decode_value(item) for item in got]
    expected_failed = [position in coerced.reasons for position in range(len(values))]
    if coerced.reasons:
        assert coerced.failed.to_pylist() == expected_failed
    else:
        assert coerced.failed is None
    return got, coerced.reasons


def assert_columns_agree(values, spec, *, text):
    expected, reasons = by_value(values, spec)
    got, got_reasons = by_column(values, spec, text=text)
    assert got_reasons == reasons
    assert len(got) == len(expected)
    assert all(map(same, got, expected)), (got, expected)


TEXT_ROWS = [(kind, text, value) for kind, table in ACCEPTED_TEXT.items() for text, value in table.items()]


def _row_id(value):
    return ascii(value)[:30] if isinstance(value, str) else None


@pytest.mark.parametrize(("kind", "text", "value"), TEXT_ROWS, ids=_row_id)
def test_accepted_text(kind, text, value):
    assert same(coerce_value(text, kind, required=True), value)
    spec = FieldSpec("a", kind, required=True)
    assert same(by_column([text], spec, text=True), ([value], {}))


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind in REFUSED_TEXT for text in REFUSED_TEXT[kind]], ids=_row_id
)
def test_refused_text(kind, text):
    with pytest.raises(CoercionError, match=f"expected {kind.value}, found") as caught:
        coerce_value(text, kind, required=True)
    spec = FieldSpec("a", kind, required=True)
    assert by_column([text, text], spec, text=True) == (
        [None, None],
        dict.fromkeys([0, 1], caught.value.reason),
    )


@pytest.mark.parametrize("kind", FieldType)
@pytest.mark.parametrize("required", [True, False])
def test_a_column_of_every_text_of_the_tables(kind, required):
    texts = [*ACCEPTED_TEXT[kind], *REFUSED_TEXT.get(kind, []), None]
    for rest in (texts, texts[::-1], [text for text in ACCEPTED_TEXT[kind] if text]):
        assert_columns_agree(rest, FieldSpec("a", kind, required), text=True)


@pytest.mark.parametrize(("kind", "value", "kept"), ACCEPTED_JSON)
def test_accepted_json(kind, value, kept):
    assert same(coerce_value(value, kind, required=True), kept)
    assert same(coerce_value(value, kind, required=False), kept)
    spec = FieldSpec("a", kind, required=False)
    for others in ([], [None], ["x", [1]]):
        got, _ = by_column([value, *others], spec, text=False)
        assert same(got[0], kept)


@pytest.mark.parametrize(("kind", "value", "reason"), REFUSED_JSON)
def test_refused_json(kind, value, reason):
    with pytest.raises(CoercionError) as caught:
        coerce_value(value, kind, required=True)
    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", FieldType)
def test_optional_takes_null(kind):
    assert coerce_value(None, kind, required=False) is None
    assert by_column([None, None], FieldSpec("a", kind, required=False), text=True) == ([None, None], {})
    assert by_column([None, None], FieldSpec("a", kind, required=False), text=False) == ([None, None], {})


@pytest.mark.parametrize(("kind", "kept"), [(INT, None), (FLOAT, None), (BOOL, None), (STR, ""), (ANY, "")])
def test_an_empty_cell_of_an_optional_number_or_boolean_is_null(kind, kept):
    assert coerce_value("", kind, required=False) == kept
    assert by_column(["", ""], FieldSpec("a", kind, required=False), text=True) == ([kept, kept], {})


@pytest.mark.parametrize("kind", [INT, FLOAT, BOOL])
def test_blanks_are_not_an_empty_cell(kind):
    with pytest.raises(CoercionError):
        coerce_value(" ", kind, required=False)


specs = st.builds(FieldSpec, st.just("a"), st.sampled_from(FieldType), st.booleans())
numberlike = st.text(st.sampled_from("0123456789+-_.eExXinfa \t\n\u00a0٣"), max_size=10)
near_number = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", " ", "+", "-", "00", "\t-"]),
    st.one_of(st.integers(0, 10**20), st.floats(0, allow_nan=False)),
    st.sampled_from(["", ".0", ".000", "e3", "e-310", "_0"]),
    st.sampled_from(["", " ", "\n"]),
)
words = st.sampled_from([*ACCEPTED_TEXT[BOOL], *NOTHING, "\u212a", "\u017f"])


@given(st.lists(st.one_of(st.none(), st.text(), numberlike, near_number, words)), specs)
@example(["0x1", "1", "nan", "+", "-"], FieldSpec("a", INT, required=True))
@example(["0x1", "1", "nan", "+", "-", "inf", "."], FieldSpec("a", FLOAT, required=True))
def test_a_column_of_text_is_coerced_as_each_value_is(cells, spec):
    assert_columns_agree(cells, spec, text=True)


@given(
    st.one_of(
        st.lists(json_values),
        st.lists(st.integers()),
        st.lists(st.floats(allow_nan=False, allow_infinity=False)),
    ),
    specs,
)
def test_a_column_of_json_is_coerced_as_each_value_is(cells, spec):
    assert_columns_agree(cells, spec, text=False)


def test_a_slice_of_a_column_is_coerced_by_itself():
    cells = pa.array(["x", "1", " 2", "y", "9223372036854775808"]).slice(1)
    coerced = coerce_text_column(cells, FieldSpec("a", INT, required=True))
    assert coerced.is_json
    assert [text and decode_value(text) for text in coerced.values.to_pylist()] == [1, 2, None, 2**63]
    assert coerced.reasons == {2: "expected int, found text 'y'"}


def test_types_of_coerced_columns():
    cells = pa.array(["1", "0", None])
    types = {
        kind: coerce_text_column(cells, FieldSpec("a", kind, required=False)).values.type
        for kind in FieldType
    }
    assert types == {
        INT: pa.int64(),
        FLOAT: pa.float64(),
        BOOL: pa.bool_(),
        STR: pa.string(),
        ANY: pa.string(),
    }
