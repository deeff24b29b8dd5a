"""Many rows at once: values and errors in their places, aliases, and the columns that are asked for."""

import os
import sys

import pytest

from elspeth_dagster.expressions import EvaluationError, parse_expression


def outcomes(text, columns, count, *, present=None, aliases=None):
    expression = parse_expression(text)
    present = frozenset(columns) if present is None else frozenset(present)
    results = expression.evaluate_columns(columns, present, count, aliases or {})
    return [result.reason if isinstance(result, EvaluationError) else result for result in results]


def test_an_error_takes_the_place_of_its_row_and_the_others_go_on():
    assert outcomes("10 // row['a'] > 1", {"a": [5, 0, None, 50, "x"]}, 5) == [
        True,
        "division by zero",
        "'//' between int and NoneType",
        False,
        "'//' between int and str",
    ]


def test_an_error_holds_no_traceback_and_so_no_rows():
    (error,) = parse_expression("row['a'] / 0").evaluate_columns({"a": [1]}, frozenset("a"), 1)

    assert error.__traceback__ is None
    assert error.__context__ is None


def test_absent_is_not_null():
    assert outcomes("'a' in row", {}, 2, present="a") == [True, True]
    assert outcomes("'a' in row", {}, 2, present="b") == [False, False]
    assert outcomes("row.get('a', 1)", {"a": [None]}, 1) == [None]
    assert outcomes("row.get('a', 1)", {}, 1) == [1]
    assert outcomes("row['a']", {}, 2) == ["missing key 'a'"] * 2


def test_a_default_is_evaluated_even_when_it_is_not_taken_as_in_python():
    assert outcomes("row.get('a', 1 / row['b'])", {"a": [1, 2], "b": [0, 1]}, 2) == ["division by zero", 2]


def test_no_rows():
    for text in ("1", "row['a']", "row['a'] + row['b']", "row", "row['zz']"):
        assert outcomes(text, {"a": [], "b": []}, 0) == []


def test_only_what_is_read_has_to_be_there():
    assert outcomes("row['a'] > 1 or 'b' in row", {"a": [0, 2]}, 2, present=("a", "b", "c")) == [True, True]
    expression = parse_expression("row['a'] > 1 or 'b' in row and row['zz']")
    assert expression.columns_read(frozenset("abc")) == {"a"}
    assert parse_expression("row['l'] == row").columns_read(frozenset("abl")) == {"a", "b", "l"}
    assert parse_expression("row['a'] in row").columns_read(frozenset("ab")) == {"a"}


def test_a_whole_row_has_its_keys_in_the_order_of_the_columns():
    columns = {"b": [1, 2], "a": [3, 4], "more": [0, 0]}

    assert outcomes("str(row)", columns, 2, present="ab") == ["{'b': 1, 'a': 3}", "{'b': 2, 'a': 4}"]
    assert outcomes("row", {}, 2) == [{}, {}]


def test_columns_that_do_not_fit_are_the_caller_s_mistake():
    with pytest.raises(ValueError, match="column 'a' has 2 values for 3 rows"):
        outcomes("row['a']", {"a": [1, 2]}, 3)
    with pytest.raises(KeyError, match="b"):
        outcomes("row", {"a": [1]}, 1, present="ab")


ALIASES = {"Order No": "order_no", "gone": "nowhere", "a": "order_no"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("row['Order No']", 7),
        ("row.get('Order No', 0)", 7),
        ("row.get('gone', 0)", 0),
        ("'Order No' in row", True),
        ("'gone' in row", False),
        ("row['gone']", "missing key 'gone'"),
        ("row['Order' + ' No']", 7),
        ("row.get('Order' + ' No')", 7),
        ("'Order' + ' No' in row", True),
        ("'go' + 'ne' in row", False),
        ("row['go' + 'ne']", "missing key 'gone'"),
        ("row.get('go' + 'ne', 3)", 3),
        ("row['a']", 1),  # a key that the row has comes first
        ("row[str('a')]", 1),
        ("row[1]", "missing key 1"),
        ("row[row['l']]", "unhashable type: 'list'"),
        ("row['l'] in row", "unhashable type: 'list'"),
        ("{1} in row", "unhashable type: 'set'"),
        ("row == {'order_no': 7, 'a': 1, 'l': []}", True),
    ],
)
def test_aliases(text, value):
    row = {"order_no": 7, "a": 1, "l": []}
    expression = parse_expression(text)
    try:
        single = expression.evaluate(row, ALIASES)
    except EvaluationError as error:
        single = error.reason

    assert single == value
    assert outcomes(text, {key: [cell] for key, cell in row.items()}, 1, aliases=ALIASES) == [value]


def test_columns_read_names_what_an_alias_stands_for():
    expression = parse_expression("row['Order No'] > row['zz']")

    assert expression.reads == {"Order No", "zz"}
    assert expression.columns_read(frozenset({"order_no", "a"}), ALIASES) == {"order_no"}


def test_rows_of_very_many_shapes_do_not_pile_up_programs():
    keys = [f"k{number}" for number in range(9)]
    expression = parse_expression(" or ".join(f"row.get('{key}')" for key in keys))
    for pattern in range(1 << len(keys)):
        present = frozenset(key for bit, key in enumerate(keys) if pattern >> bit & 1)
        columns = {key: [key] for key in present}
        assert expression.evaluate_columns(columns, present, 1) == [min(present, default=None)]

    assert len(expression._programs) <= 256


def test_the_row_is_not_changed_and_may_be_any_mapping():
    class Frozen(dict):
        def __setitem__(self, key, value):
            raise AssertionError("a row was changed")

    row = Frozen(a=1, l=[1, 2])
    assert parse_expression("row['l'] + [row['a']] + [row]").evaluate(row) == [1, 2, 1, row]
    assert row == {"a": 1, "l": [1, 2]}

    assert parse_expression("'PATH' in row").evaluate(os.environ) is ("PATH" in os.environ)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("row['d']['zz']", "missing key 'zz'"),
        ("row['d'][5]", "missing key 5"),
        ("row['d'][row['big'] * row['big']]", "missing key, one of type int"),
        ("row['d'][(1, 2)]", "missing key, one of type tuple"),
        ("row['l'][9]", "list index out of range"),
        ("row['n']['k']", "'NoneType' object is not subscriptable"),
        ("row.get('zz')['k']", "'NoneType' object is not subscriptable"),
        ("row['s'] - 1", "'-' between str and int"),
        ("row['l'] + 'x'", "'+' between list and str"),
        ("row['s'] < 1", "'<' between str and int"),
        ("'%d' % row['s']", "%d format: a real number is required, not str"),
        ("float(row['s'])", "could not convert string to float: 'x'"),
        ("1e308 * 10 // 1 + float(row['big'])", "int too large to convert to float"),
        ("'%c' % 55296", "'%c' would make a lone surrogate"),
        ("str({1, 2})", "the text of a set has no fixed order"),
    ],
)
def test_reasons(text, reason):
    row = {"d": {"k": 1}, "l": [1], "n": None, "s": "x", "big": 10**4000}
    with pytest.raises(EvaluationError) as caught:
        parse_expression(text).evaluate(row)
    assert str(caught.value) == reason


def test_a_reason_is_short_even_when_the_value_is_long():
    for text in ("int(row['s'])", "float(row['s'])", "row[row['s']]", "row['d'][row['s']]"):
        with pytest.raises(EvaluationError) as caught:
            parse_expression(text).evaluate({"s": "x" * 3_000_000, "d": {}})
        assert len(caught.value.reason) < 300


def test_a_value_nested_deeper_than_python_compares():
    deep = []
    for _ in range(sys.getrecursionlimit() * 50):
        deep = [deep]
    other = []
    for _ in range(sys.getrecursionlimit() * 50):
        other = [other]
    with pytest.raises(EvaluationError, match="a value is nested too deeply"):
        parse_expression("row['a'] == row['b']").evaluate({"a": deep, "b": other})
