"""Whatever is accepted means what it means in Python, row by row and column by column."""

import copy
import datetime as dt
import warnings
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elspeth_dagster.expressions import EvaluationError, parse_expression

# Compiling an accepted expression never warns, not even for `1 is None`.
pytestmark = pytest.mark.filterwarnings("error")

FUNCTIONS = {"abs": abs, "bool": bool, "float": float, "int": int, "len": len, "str": str}
KEYS = ["a", "b", "s", "l", "d", "key with 'quotes'"]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-3, -1, 0, 1, 2, 5, 2**63, -(10**30)]),
    st.sampled_from([0.0, -0.0, 1.0, 2.5, -1e300, 1e-9]),
    st.sampled_from(["", "a", "b", "x", "7", " 12 ", "-1.5", "%s", "%d %s", "é", "True", "nan"]),
)
cells = st.one_of(
    scalars,
    st.sampled_from(
        [
            Decimal("1.50"),
            Decimal(7),
            dt.date(2024, 2, 29),
            dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC),
            b"ab",
        ]
    ),
    st.lists(scalars, max_size=3),
    st.dictionaries(st.sampled_from(KEYS), scalars, max_size=3),
)
numbers = st.sampled_from([-3, 0, 1, 2, 5, 2.5, 10**30])
texts = st.sampled_from(["", "a", "x", "%s", "7", "é"])
rows = st.one_of(
    st.dictionaries(st.sampled_from(KEYS), cells, max_size=len(KEYS)),
    st.fixed_dictionaries(
        {
            "a": numbers,
            "b": numbers,
            "s": texts,
            "l": st.lists(numbers, min_size=1, max_size=3),
            "d": st.dictionaries(texts, numbers, max_size=3),
            "key with 'quotes'": cells,
        }
    ),
)


def _keys(inner):
    literal = st.sampled_from(KEYS).map(repr)
    return st.one_of(literal, literal, literal, inner)


def _derived(inner):
    """What is read from the row, and may be subscripted."""
    reads = st.one_of(
        st.builds("row[{}]".format, _keys(inner)),
        st.builds("row.get({})".format, _keys(inner)),
        st.builds("row.get({}, {})".format, _keys(inner), inner),
    )
    return st.one_of(reads, reads, st.builds("{}[{}]".format, reads, inner))


def _chain(first, rest):
    return "(" + first + "".join(f" {operator} {operand}" for operator, operand in rest) + ")"


def _grow(inner):
    comparisons = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
    arithmetic = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    several = st.lists(inner, max_size=3)
    return st.one_of(
        _derived(inner),
        st.builds(
            _chain,
            inner,
            st.lists(st.tuples(comparisons, st.one_of(inner, st.just("row"))), min_size=1, max_size=3),
        ),
        st.builds("({} {} row)".format, _keys(inner), st.sampled_from(["in", "not in"])),
        st.builds("({} {} None)".format, inner, st.sampled_from(["is", "is not"])),
        st.builds("(None is {})".format, inner),
        st.builds("({} {} {})".format, inner, arithmetic, inner),
        st.builds("({} {} {})".format, inner, arithmetic, inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("({} {})".format, st.sampled_from(["not", "-", "+"]), inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("{}({})".format, st.sampled_from(sorted(FUNCTIONS)), inner),
        st.builds("int({}, {})".format, inner, inner),
        several.map(lambda items: "[" + ", ".join(items) + "]"),
        several.map(lambda items: "(" + "".join(item + ", " for item in items) + ")"),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: "{" + ", ".join(items) + "}"),
        st.lists(st.tuples(inner, inner), max_size=2).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
    )


leaves = st.one_of(
    scalars.map(repr).map(lambda text: f"({text})"),
    st.sampled_from(KEYS).map(lambda key: f"row[{key!r}]"),
    st.sampled_from(["row", *FUNCTIONS]),
)
expressions = st.recursive(leaves, _grow, max_leaves=12)

LIMITS_OF_OURS = ("no fixed order", "does not format bytes", "str() decodes", "str() handles")


class Failed:
    """Stands for "no value"."""


def by_python(text, row):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return eval(text, {"__builtins__": {}, **FUNCTIONS, "row": row})
        except Exception:  # noqa: BLE001 - whatever Python says, there is no value
            return Failed


def by_us(evaluate):
    try:
        return evaluate()
    except EvaluationError as error:
        return error


def assert_agree(ours, theirs):
    if isinstance(ours, EvaluationError):
        assert theirs is Failed or any(limit in ours.reason for limit in LIMITS_OF_OURS), ours.reason
    else:
        assert type(ours) is type(theirs)
        assert repr(ours) == repr(theirs)


def assert_same(first, second):
    assert type(first) is type(second)
    assert repr(first) == repr(second)


@settings(max_examples=200)
@given(text=expressions, row=rows)
def test_a_row_s_value_is_python_s(text, row):
    before = copy.deepcopy(row)
    ours = by_us(lambda: parse_expression(text).evaluate(row))

    assert_agree(ours, by_python(text, row))
    assert repr(row) == repr(before)


@settings(max_examples=150)
@given(data=st.data(), text=expressions, keys=st.lists(st.sampled_from(KEYS), unique=True))
def test_columns_give_what_each_row_gives(data, text, keys):
    table = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(keys, cells)), max_size=4))
    table = [{key: row[key] for key in keys} for row in table]  # all in the same order
    expression = parse_expression(text)
    present = frozenset(keys)
    needed = expression.columns_read(present)
    columns = {key: [row[key] for row in table] for key in keys if key in needed}

    results = expression.evaluate_columns(columns, present, len(table))

    assert len(results) == len(table)
    for row, result in zip(table, results, strict=True):
        assert_same(result, by_us(lambda row=row: expression.evaluate(row)))
        assert_agree(result, by_python(text, row))
    if expression.reads is not None:
        assert needed <= expression.reads


class Aliased(dict):
    """A row that answers to other names of its keys as well: what aliases are to mean."""

    def __init__(self, row, aliases):
        super().__init__(row)
        self.aliases = {alias: key for alias, key in aliases.items() if alias not in row and key in row}

    def __missing__(self, key):
        return self[self.aliases[key]]

    def __contains__(self, key):
        return super().__contains__(key) or key in self.aliases

    def get(self, key, default=None):
        try:
            return self[key]
        except KeyError:
            return default


@settings(max_examples=150)
@given(
    text=expressions,
    row=rows,
    aliases=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(KEYS), min_size=1, max_size=4),
)
def test_an_alias_is_another_name_of_a_key(text, row, aliases):
    expression = parse_expression(text)
    ours = by_us(lambda: expression.evaluate(row, aliases))

    theirs = by_python(text, Aliased(row, aliases))
    assert_agree(ours, dict(theirs) if isinstance(theirs, Aliased) else theirs)
    (of_columns,) = expression.evaluate_columns({key: [row[key]] for key in row}, frozenset(row), 1, aliases)
    assert_same(of_columns, ours)


@settings(max_examples=100)
@given(text=expressions, row=rows)
def test_static_booleans_are_bools_and_labels_are_among_the_possible(text, row):
    expression = parse_expression(text)
    ours = by_us(lambda: expression.evaluate(row))
    if expression.static_boolean:
        assert isinstance(ours, bool | EvaluationError)
    if expression.is_constant:
        assert_same(ours, by_us(lambda: expression.evaluate({})))


@settings(max_examples=100)
@given(text=expressions, row=rows, others=rows)
def test_a_value_depends_only_on_what_is_read(text, row, others):
    expression = parse_expression(text)
    if expression.reads is None:
        return
    kept = {key: value for key, value in row.items() if key in expression.reads}
    changed = kept | {key: value for key, value in others.items() if key not in expression.reads}

    assert_same(by_us(lambda: expression.evaluate(row)), by_us(lambda: expression.evaluate(changed)))
