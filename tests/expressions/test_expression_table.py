"""The language, row by row of its table, with what is refused and why."""

import pytest

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.expressions import (
    EvaluationError,
    ExpressionError,
    check_trigger_expression,
    label_of,
    labels_of,
    parse_expression,
)

ROW = {"a": 5, "s": "x", "n": None, "l": [1, 2], "d": {"k": 1}}

ACCEPTED = [
    (1, "row['a'] > 3", True, True),
    (2, "row['a'] == 5 and row['s'] == 'x'", True, True),
    (3, "1 < row['a'] < 10", True, True),
    (4, "not row['a']", True, False),
    (5, "bool(row['a'])", True, True),
    (6, "True", True, True),
    (7, "row['n'] is None", True, True),
    (8, "row['a'] in {1,5}", True, True),
    (9, "'a' in row", True, True),
    (10, "row['a'] > 3 if row['s'] else True", True, True),
    (11, "row['a'] or 'd'", False, 5),
    (12, "row['n'] and True", False, None),
    (13, "row.get('zz')", False, None),
    (14, "'high' if row['a'] > 3 else 'low'", False, "high"),
    (15, "str(row['a'])", False, "5"),
    (15, "len(row['s'])", False, 1),
    (16, "row['a'] // 2", False, 2),
    (17, "row['l'][0]", False, 1),
    (17, "row['d']['k']", False, 1),
    (18, "row", False, ROW),
]

FAILING = [
    (19, "row['zz'] > 1", True, "missing key 'zz'"),
    (20, "row['n'] > 1", True, "'>' between NoneType and int"),
    (21, "row['a'] / 0", False, "division by zero"),
    (21, "row['a'] % 0", False, "division by zero"),
    (21, "row['a'] // 0", False, "division by zero"),
    (22, "row['s'] + 1", False, "'+' between str and int"),
    (22, "int(row['s'])", False, "invalid literal for int() with base 10: 'x'"),
    (22, "len(row['n'])", False, "object of type 'NoneType' has no len()"),
]

REFUSED = [
    (23, "row['a'] is 5", 0, "'is' compares with None only"),
    (24, "row['a'] ** 2", 9, "the operator '**' is not allowed"),
    (24, "~row['a']", 0, "the operator '~' is not allowed"),
    (24, "row['a'] & 1", 9, "the operator '&' is not allowed"),
    (25, "row['s'].upper()", 8, "'.upper' is not allowed"),
    (25, "row.__class__", 3, "'.__class__' is not allowed"),
    (25, "row['a'].real", 8, "'.real' is not allowed"),
    (26, "row.get('d').get('k')", 12, "'.get' is not allowed"),
    (27, "row.get", 0, "row.get must be called"),
    (27, "row.get()", 0, "row.get() takes 1 to 2 arguments, not 0"),
    (27, "row.get(key='a')", 0, "keyword arguments are not allowed"),
    (28, "min(1,2)", 0, "'min' cannot be called; the functions are abs, bool, float, int, len, str"),
    (28, "any(row['l'])", 0, "'any' cannot be called"),
    (28, "round(1.5)", 0, "'round' cannot be called"),
    (28, "sorted(row['l'])", 0, "'sorted' cannot be called"),
    (29, "row['l'][0:1]", 9, "a slice is not allowed"),
    (29, "'abc'[0]", 0, "only what is read from row may be subscripted"),
    (29, "{'a':1}['a']", 0, "only what is read from row may be subscripted"),
    (30, "x > 1", 0, "the name 'x' is not known"),
    (30, "__import__('os')", 0, "'__import__' cannot be called"),
    (31, "[i for i in row]", 0, "a comprehension is not allowed"),
    (31, "lambda: 1", 0, "a lambda is not allowed"),
    (31, "f'x'", 0, "an f-string is not allowed"),
    (31, "(y := 5)", 1, "an assignment (':=') is not allowed"),
    (32, "[*row]", 1, "unpacking ('*') is not allowed"),
    (32, "{**row}", 0, "unpacking ('**') is not allowed"),
    (32, "len(x=1)", 0, "keyword arguments are not allowed"),
    (33, "b'x'", 0, "a bytes literal is not allowed"),
    (33, "1j", 0, "a complex literal is not allowed"),
    (33, "...", 0, "... is not allowed"),
    (34, "", 0, "the expression is empty"),
    (34, " row['a']", 0, "it must not start with whitespace"),
    (34, "row['a'] > 3; 1", 12, "not one Python expression"),
    (34, "row['a'] >", 10, "not one Python expression"),
]


def test_the_table_is_covered_row_by_row():
    covered = {number for number, *_ in [*ACCEPTED, *FAILING, *REFUSED]}
    assert covered == set(range(1, 35))


@pytest.mark.parametrize(("number", "text", "static", "value"), ACCEPTED)
def test_accepted(number, text, static, value):
    expression = parse_expression(text)

    assert expression.static_boolean is static
    result = expression.evaluate(ROW)
    assert type(result) is type(value)
    assert result == value
    columns = {key: [cell] for key, cell in ROW.items()}
    assert expression.evaluate_columns(columns, frozenset(ROW), 1) == [value]


def test_a_bare_row_is_the_row_itself_and_its_text_is_the_label():
    result = parse_expression("row").evaluate(ROW)

    assert result is ROW
    assert label_of(result) == "{'a': 5, 's': 'x', 'n': None, 'l': [1, 2], 'd': {'k': 1}}"


@pytest.mark.parametrize(("number", "text", "static", "reason"), FAILING)
def test_accepted_but_without_a_value_for_this_row(number, text, static, reason):
    expression = parse_expression(text)

    assert expression.static_boolean is static
    with pytest.raises(EvaluationError) as caught:
        expression.evaluate(ROW)
    assert caught.value.reason == reason


@pytest.mark.parametrize(("number", "text", "offset", "reason"), REFUSED)
def test_refused(number, text, offset, reason):
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)

    assert reason in caught.value.reason
    assert caught.value.offset == offset
    assert caught.value.text == text
    assert f"column {offset + 1}: " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("row['a'] > 3  # why not", True),
        ("(row['a']\n   > 3)\n", True),
        ("row['l'][row['l'][0]]", 2),
        ("row['l'][-1]", 2),
        ("row.get('d')['k']", 1),
        ("row.get('zz', row['d'])['k']", 1),
        ("row.get('zz', 7)", 7),
        ("'-' * row['a']", "-----"),
        ("'%s is %05.1f' % (row['s'], row['a'])", "x is 005.0"),
        ("'%(s)s/%(a)d' % row", "x/5"),
        ("len", len),
        ("len == len", True),
        ("row['a'] is not None is not 1", True),
        ("1 is None", False),
        ("(1, 2) is not None", True),
        ("int('ff', 16) - abs(-5)", 250),
        ("[row['a'], (row['s'],), {row['a']}, {'k': row['n']}]", [5, ("x",), {5}, {"k": None}]),
        ("row == {'a': 5}", False),
        ("'zz' not in row", True),
        ("row['s'] in row", False),
        ("'a' in row == row", True),
        ("row['s'] < 'z' in row", False),
        ("'zz' in row in row", False),
        ("row['s'] == 'x' and 'a' in row not in [row]", False),
        ("not row.get('zz')", True),
        ("str()", ""),
        ("row['a'] if row['n'] else row['s'] if row['a'] else None", "x"),
    ],
)
def test_more_of_the_language(text, value):
    result = parse_expression(text).evaluate(ROW)

    assert type(result) is type(value)
    assert result == value


@pytest.mark.parametrize(
    ("text", "static"),
    [
        ("row", False),
        ("bool", False),
        ("1", False),
        ("None", False),
        ("False", True),
        ("row['a'] > 1 and row['b']", False),
        ("row['a'] > 1 or not row['b']", True),
        ("True if row['a'] else row['b']", False),
        ("-(row['a'] > 1)", False),
        ("'a' in row", True),
        ("bool()", True),
        ("(row['a'] == 1) == True", True),
    ],
)
def test_static_boolean(text, static):
    assert parse_expression(text).static_boolean is static


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (True, "true"),
        (False, "false"),
        ("True", "True"),
        ("very high", "very high"),
        (5, "5"),
        (None, "None"),
        (1.0, "1.0"),
        (-1, "-1"),
        ([1, "a"], "[1, 'a']"),
        (len, "<built-in function len>"),
    ],
)
def test_labels(value, label):
    assert label_of(value) == label
    assert labels_of([value]) == [label]


def test_a_result_without_a_label_is_an_error_in_its_place():
    error = EvaluationError("missing key 'zz'")
    labels = labels_of([True, error, {1, 2}, 10**5000])

    assert labels[:2] == ["true", error]
    assert labels[2].reason == "the text of a set has no fixed order"
    assert labels[3].reason == "an integer of more than 4,300 digits has no text"
    with pytest.raises(EvaluationError):
        label_of({1, 2})


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("True", {"true"}),
        ("1 > 2", {"false"}),
        ("'high'", {"high"}),
        ("1 / 0 > 1", set()),
        ("1 / 0", set()),
        ("row['a'] > 1", {"true", "false"}),
        ("row['a']", None),
        ("True or row['a']", None),
    ],
)
def test_the_labels_that_can_occur(text, labels):
    expression = parse_expression(text)

    assert expression.possible_labels == labels
    assert expression.is_constant is ("row" not in text)


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("1 + 1", set()),
        ("row['a'] > row.get('b', row['c'])", {"a", "b", "c"}),
        ("'k' in row", {"k"}),
        ("row['d']['k'][row['i']]", {"d", "i"}),
        ("row", None),
        ("row['a'] and row == {}", None),
        ("row[row['a']]", None),
        ("row.get(1)", None),
        ("row['a'] in row", None),
        ("'k' in row in [True]", None),
    ],
)
def test_what_it_reads(text, reads):
    assert parse_expression(text).reads == reads


def test_another_root_name():
    expression = parse_expression("env.get('MODE', 'x') == 'y' and env['A']", name="env")

    assert expression.evaluate({"MODE": "y", "A": 1}) == 1
    with pytest.raises(ExpressionError, match="the name 'row' is not known; there are env and abs"):
        parse_expression("row['a']", name="env")
    with pytest.raises(ExpressionError, match=r"env\.get must be called"):
        parse_expression("env.get", name="env")
    for name in ("len", "a b", "\N{FULLWIDTH LATIN SMALL LETTER E}nv"):
        with pytest.raises(ValueError, match="cannot be the name"):
            parse_expression("1", name=name)


def test_an_error_names_line_and_column_in_characters():
    with pytest.raises(ExpressionError) as caught:
        parse_expression("('é' and\r\n row['ü'] ** 2)")

    assert str(caught.value).endswith(
        ", line 2, column 11: the operator '**' is not allowed; arithmetic is + - * / // %"
    )
    assert isinstance(caught.value, ElspethError)


def test_an_error_in_a_long_text_shows_the_place():
    text = f"row['a'] in [{', '.join(map(str, range(300)))}, oops, {', '.join(map(str, range(300)))}]"
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)

    assert "297, 298, 299, oops, 0, 1, 2" in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text",
    [
        "row['batch_count'] >= 10",
        "row.get('batch_age_seconds', 0) > 1.5 or row['batch_count'] == 3",
        "not row['batch_count'] % 2",
        "True",
    ],
)
def test_trigger_condition(text):
    check_trigger_expression(parse_expression(text))


@pytest.mark.parametrize(
    ("text", "offset", "reason"),
    [
        (
            "row['batch_count'] > 1 and row['amount'] > 1",
            27,
            "may read only row['batch_age_seconds'] and row['batch_count'], not row['amount']",
        ),
        ("row['batch_' + 'count'] > 1", 0, "not row by other than a literal key"),
        ("row == {}", 0, "not row by other than a literal key"),
        ("row['batch_count']", 0, "must always be a bool"),
    ],
)
def test_no_trigger_condition(text, offset, reason):
    with pytest.raises(ExpressionError) as caught:
        check_trigger_expression(parse_expression(text))

    assert reason in caught.value.reason
    assert caught.value.offset == offset
