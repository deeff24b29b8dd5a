"""No expression and no row can use up the machine: every large thing is refused before it is built."""

import threading
import tracemalloc
from decimal import Decimal

import pytest

from elspeth_dagster.expressions import EvaluationError, ExpressionError, label_of, parse_expression
from elspeth_dagster.expressions.formatting import format_text

ROW = {
    "huge": 10**10,
    "text": "x" * 3_000_000,
    "list": [0] * 1000,
    "big": 10**4299,
    "exponent": Decimal("1e999999999"),
    "bytes": b"ab",
    "format": "%s" * 500_000,
}

BOMBS = [
    "'a' * 10000000000",
    "row['huge'] * 'a'",
    "[0] * 10000000000",
    "(0, 1) * row['huge']",
    "row['bytes'] * row['huge']",
    "row['list'] * 1000 * 1000 * 1000",
    "[[[[0] * 1000] * 1000] * 1000] * 1000 == [[[[0] * 1000] * 1000] * 1000] * 1000",
    "[[[[0] * 300] * 300] * 300] * 300",
    "str([['abcdefghij' * 10000] * 100] * 2)",
    "len(str([row['text']]))",
    "row['text'] + row['text']",
    "row['text'] + ''",
    "row['list'] * 300 + row['list'] * 300",
    "'%1000000000d' % 1",
    "'%999999999d' % 1",
    "'%.999999999f' % 1",
    "'%.999999999d' % 1",
    "'%-999999999s' % 1",
    "'%*d' % (999999999, 1)",
    "'%.*f' % (999999999, 1)",
    "'%(a)999999999d' % {'a': 1}",
    "'%((a))999999999d' % {'(a)': 1}",
    "'%999999999d%Z' % (1, 2)",
    "'%s%s' % (row['text'], row['text'])",
    "row['format'] % (('0123456789' * 100000,) * 500000)",
    "'%(text)s%(text)s' % row",
    "'%r' % [row['text']]",
    "'%.3s' % [row['text']]",
    "'%d' % row['exponent']",
    "int(row['exponent'])",
    "int('9' * 1000000)",
    "int('9' * 5000)",
    "int('0' * 4301)",
    "int(row['text'])",
    "int('f' * 1000000, 16)",
    "str(row['big'] * 100)",
    "'%d' % (row['big'] * 100)",
    "str([row['big'] * 100])",
    "{'k': row['big'] * 100} and str({'k': row['big'] * 100})",
    " * ".join(["row['big']"] * 90),
    "str(row)",
    "str(row['bytes'], 'utf-7')",
    "str(row['bytes'], 'utf-8', 'surrogateescape')",
    "row['bytes'] % 1",
]


@pytest.mark.parametrize("text", BOMBS)
def test_a_bomb_is_an_evaluation_error_and_is_not_built(text):
    expression = parse_expression(text)
    tracemalloc.start()
    try:
        with pytest.raises(EvaluationError) as caught:
            expression.evaluate(ROW)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak_bytes < 64_000_000
    assert caught.value.__cause__ is None
    assert "limit" in str(caught.value) or "digits" in str(caught.value) or "bytes" in text


def test_the_reason_names_the_limit():
    with pytest.raises(EvaluationError, match="the result would be over the limit of 1,048,576 characters"):
        parse_expression("'a' * 10000000000").evaluate({})
    with pytest.raises(EvaluationError, match="an integer over the limit of 1,048,576 bits"):
        parse_expression(" * ".join(["row['big']"] * 90)).evaluate(ROW)


def test_up_to_the_limits_it_is_python():
    assert parse_expression("len('a' * 1048576)").evaluate({}) == 1_048_576
    assert parse_expression("len('a' * 1048575 + 'b')").evaluate({}) == 1_048_576
    assert parse_expression("len('%1048576d' % 1)").evaluate({}) == 1_048_576
    assert parse_expression("row['big'] * row['big']").evaluate(ROW) == ROW["big"] ** 2
    assert parse_expression("len(str(row['big']))").evaluate(ROW) == 4300
    assert parse_expression("len('%s' % row['text'][0])").evaluate(ROW) == 1
    assert parse_expression("'%.3s' % row['text']").evaluate(ROW) == "xxx"
    assert parse_expression("int('f' * 5000, 16) > 0").evaluate(ROW) is True
    assert parse_expression("int('9' * 4300) > 0").evaluate(ROW) is True
    assert parse_expression("'' * 10000000000").evaluate({}) == ""
    assert parse_expression("'a' * -10000000000").evaluate({}) == ""
    assert parse_expression("str(row['bytes'], 'utf-8')").evaluate(ROW) == "ab"
    assert parse_expression("row['text']").evaluate(ROW) is ROW["text"]
    assert parse_expression("row['exponent'] > row['big']").evaluate(ROW) is True


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("%d%%|%5.2f|%-8s|%+d|%x|%o|%e|%g|%c%c", (1, 2.5, "s", 3, 255, 8, 1.5, 1e-9, "c", 65)),
        ("%(a)s %(b)r %(a)s", {"a": "x", "b": "y"}),
        ("%(a)s", {"a": (1, 2)}),
        ("%s", {"a": 1}),
        ("%s", [1, 2]),
        ("nothing", {}),
        ("nothing", []),
        ("%%", ()),
        ("%%%s%%", "%"),
        ("%*.*f", (8, 2, 3.14159)),
        ("%-*d|", (-6, 5)),
        ("%.*f", (-2, 1.5)),
        ("%ld %hd", (1, 2)),
        ("%a %r %s", ("é", "é", "é")),
        ("%d", True),
        ("%d", 1.9),
        ("%d", Decimal("5.7")),
        ("%f", Decimal("0.1")),
        ("%s", Decimal("1e999999999")),
        ("%.0e %#x %08.3f % d", (12345.678, 255, -1.5, 7)),
        ("%f", float("inf")),
        ("%f", 1e300),
    ],
)
def test_formatting_is_python_s(template, values):
    assert format_text(template, values) == template % values


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("%", 1),
        ("%d", "x"),
        ("%d", ()),
        ("%s", (1, 2)),
        ("%(a)s", 1),
        ("%(a)s", {}),
        ("%(a", {"a": 1}),
        ("%(a)s %s", {"a": 1}),
        ("%Z", 1),
        ("%5%", 1),
        ("%5%", ()),
        ("%*d", ("x", 1)),
        ("%*d", (Decimal("1e999999999"), 1)),
        ("%d", float("nan")),
        ("%d", Decimal("nan")),
        ("%d", float("inf")),
        ("%f", 10**400),
        ("%x", 1.5),
        ("%c", 0x110000),
        ("%c", "ab"),
        ("%99999999999999999999d", 1),
    ],
)
def test_what_python_does_not_format_is_an_error(template, values):
    with pytest.raises((TypeError, ValueError, KeyError, OverflowError)):
        template % values
    with pytest.raises(EvaluationError):
        parse_expression("row['t'] % row['v']").evaluate({"t": template, "v": values})


def test_a_label_is_not_built_either():
    with pytest.raises(EvaluationError, match="over the limit"):
        label_of(ROW)


DEEP = {
    "minus": "-" * 60_000 + "1",
    "not": "not " * 16_000 + "1",
    "else": "1 if 1 else " * 5_000 + "1",
    "parentheses": "(" * 30_000 + "1" + ")" * 30_000,
    "brackets": "[" * 150 + "]" * 150,
    "unclosed": "[" * 60_000,
    "plus": "1+" * 30_000 + "1",
    "subscripts": "row" + "['a']" * 10_000,
    "calls": "len(" * 101 + "1" + ")" * 101,
    "tuples": "(" * 101 + "1" + ",)" * 101,
    "power": "1**" * 20_000 + "1",
    "lambda": "lambda:" * 9_000 + "1",
    "attributes": "row" + ".a" * 30_000,
    "f-strings": "f'{" * 1_000,
    "plus, just past the limit": "1+" * 100 + "1",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP.keys())
def test_deep_nesting_is_refused_on_any_stack(text):
    caught = []

    def refuse():
        with pytest.raises(ExpressionError) as error:
            parse_expression(text)
        caught.append(error.value)

    refuse()
    thread = threading.Thread(target=refuse)
    thread.start()
    thread.join()
    assert len(caught) == 2
    assert "nested" in caught[0].reason or "not one Python expression" in caught[0].reason


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1+" * 99 + "1", 100),
        ("not " * 99 + "1", False),
        ("0 if row['a'] else " * 98 + "1", 1),
        ("bool(" * 98 + "1" + ")" * 98, True),
        (" or ".join(["row['a']"] * 5_000), 0),
        ("1 < " * 5_000 + "1", False),
        (f"row['a'] in [{'0,' * 20_000}]", True),
    ],
)
def test_nesting_within_the_limit_and_wide_expressions(text, value):
    assert parse_expression(text).evaluate({"a": 0}) == value


def test_a_text_over_64_kib_is_refused():
    with pytest.raises(ExpressionError, match="it has 65,540 characters; the limit is 65,536"):
        parse_expression("'" + "9" * 65_538 + "'")
    assert parse_expression("'" + "9" * 65_534 + "'").evaluate({}) == "9" * 65_534


@pytest.mark.parametrize("text", ["9" * 10_000, "9" * 4_301, "0x1" + "0" * 4_000])
def test_an_integer_literal_of_too_many_digits_is_refused(text):
    with pytest.raises(ExpressionError, match=r"4,?300 digits"):
        parse_expression(text)
