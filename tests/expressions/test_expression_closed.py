"""Nothing outside the language is accepted: arbitrary Python against a second definition of it."""

import ast
import io
import tokenize
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from elspeth_dagster.expressions import ExpressionError, parse_expression

FUNCTIONS = {"abs": range(1, 2), "bool": range(2), "float": range(2), "int": range(3), "len": range(1, 2)}
FUNCTIONS["str"] = range(4)
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)


def in_language(text):
    """The language once more, written as a predicate over Python's own tree and tokens."""
    if not text or text[0].isspace():
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text, mode="eval")
        except (SyntaxError, ValueError):
            return False
    return allowed(tree.body) and names_are_plain(text)


def names_are_plain(text):
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return all(token.string.isascii() for token in tokens if token.type == tokenize.NAME)


def allowed(node):  # noqa: PLR0911 - one line a kind of node
    match node:
        case ast.Constant(value=str() as text):
            return not any("\ud800" <= character <= "\udfff" for character in text)
        case ast.Constant(value=None | bool() | int() | float()):
            return True
        case ast.Name(id=name):
            return name == "row" or name in FUNCTIONS
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return all(map(allowed, items))
        case ast.Dict(keys=keys, values=values):
            return None not in keys and all(map(allowed, [*keys, *values]))
        case ast.BoolOp(values=values):
            return all(map(allowed, values))
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            return allowed(operand)
        case ast.BinOp(left=left, op=operator, right=right):
            return isinstance(operator, OPERATORS) and allowed(left) and allowed(right)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return allowed(test) and allowed(body) and allowed(orelse)
        case ast.Compare(left=left, ops=operators, comparators=rights):
            sides = [left, *rights]
            nones = [isinstance(side, ast.Constant) and side.value is None for side in sides]
            identities = [isinstance(operator, ast.Is | ast.IsNot) for operator in operators]
            fits = all(nones[i] or nones[i + 1] for i, identity in enumerate(identities) if identity)
            return fits and all(map(allowed, sides))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return len(arguments) in FUNCTIONS.get(name, ()) and all(map(allowed, arguments))
        case ast.Call():
            return gets(node) and all(map(allowed, node.args))
        case ast.Subscript(value=value, slice=index):
            return derived(value) and allowed(value) and allowed(index)
    return False


def gets(node):
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="row"), attr="get"), keywords=[]):
            return len(node.args) in {1, 2}
    return False


def derived(node):
    match node:
        case ast.Name(id="row") | ast.Subscript():
            return True
    return gets(node)


def accepted(text):
    try:
        parse_expression(text)
    except ExpressionError:
        return False
    return True


# A form per kind of node; "{}" is where another expression goes.
TEMPLATES = {
    ast.Attribute: ["{}.get", "{}.__class__", "row.get", "{}.upper"],
    ast.Await: ["(await {})"],
    ast.BinOp: [
        f"({{}} {op} {{}})" for op in ["+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^", "<<", ">>"]
    ],
    ast.BoolOp: ["({} and {})", "({} or {} or {})"],
    ast.Call: [
        "{}()",
        "{}({})",
        "len({})",
        "str({}, {})",
        "int({}, {}, {})",
        "row.get({})",
        "row.get({}, {})",
        "row.get({}, {}, {})",
        "row.get(*{})",
        "row.get(key={})",
        "row.get({}, default={})",
        "row.get({}, **{})",
        "{}.get({})",
        "{}.format({})",
        "sorted({})",
        "getattr({}, {})",
    ],
    ast.Compare: [f"({{}} {op} {{}})" for op in ["==", "!=", "<", "<=", ">", ">=", "in", "is"]]
    + ["({} not in {})", "({} is not {})", "({} is None)", "(None is not {})", "({} < {} is None)"]
    + ["({} in row)", "('k' in row in {})", "({} is None is {})"],
    ast.Constant: ["1", "1.5", "1e999", "'k'", "None", "True", "...", "b'x'", "1j", "'\\ud800'", "'é'", "''"],
    ast.Dict: ["{{}}", "{{{}: {}}}", "{{**{}}}", "{{{}: {}, **{}}}"],
    ast.DictComp: ["{{{}: {} for row in {}}}"],
    ast.FormattedValue: ["f'{{{}}}'"],
    ast.GeneratorExp: ["({} for x in {})", "len({} for row in {})"],
    ast.IfExp: ["({} if {} else {})"],
    ast.JoinedStr: ["f'x'", "f'{{row}}'"],
    ast.Lambda: ["(lambda: {})", "(lambda row: {})"],
    ast.List: ["[]", "[{}, {}]"],
    ast.ListComp: ["[{} for x in {} if {}]", "[x async for x in {}]"],
    ast.Name: ["row", "len", "str", "x", "__builtins__", "object", "\N{FULLWIDTH LATIN SMALL LETTER R}ow"],
    ast.NamedExpr: ["(row := {})", "(x := {})"],
    ast.Set: ["{{{}, {}}}"],
    ast.SetComp: ["{{{} for x in {}}}"],
    ast.Slice: ["row[{}:]", "{}[{}:{}]", "row[{}:{}, {}]"],
    ast.Starred: ["[*{}]", "(*{},)", "len(*{})", "row[*{}]"],
    ast.Subscript: ["{}[{}]", "row['k']", "row[{}]", "row['k'][{}]", "row.get('k')[{}]", "{}[{}, {}]"],
    ast.Tuple: ["()", "({},)", "({}, {})"],
    ast.UnaryOp: ["(not {})", "(-{})", "(+{})", "(~{})"],
    ast.Yield: ["(yield)", "(yield {})"],
    ast.YieldFrom: ["(yield from {})"],
}
# Python 3.14 adds t-strings.
LATER = {"TemplateStr", "Interpolation"}
REMOVED = {"Num", "Str", "Bytes", "NameConstant", "Ellipsis"}


def test_there_is_a_form_for_every_kind_of_expression_that_python_has():
    kinds = {
        kind
        for kind in vars(ast).values()
        if isinstance(kind, type) and issubclass(kind, ast.expr) and kind is not ast.expr
    }
    named = {kind for kind in kinds if kind.__name__ not in LATER | REMOVED}
    assert named == TEMPLATES.keys()


FORMS = [form for forms in TEMPLATES.values() for form in forms]
LEAVES = [form for form in FORMS if "{}" not in form.replace("{{", "").replace("}}", "")]
BRANCHES = [form for form in FORMS if form not in LEAVES]


@st.composite
def forms(draw, inner):
    form = draw(st.sampled_from(BRANCHES))
    return form.format(*(draw(inner) for _ in range(form.count("{}"))))


good_leaves = st.sampled_from(["row['k']", "row", "1", "'k'", "None", "len"])
python = st.recursive(
    st.one_of(good_leaves, good_leaves, st.sampled_from([leaf.format() for leaf in LEAVES])),
    forms,
    max_leaves=6,
)


@settings(max_examples=200)
@given(python)
def test_arbitrary_python_is_accepted_just_when_it_is_in_the_language(text):
    assert accepted(text) == in_language(text)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", ["row['k']", "row", "'k'", "None", "len"])
def test_each_form_over_each_leaf(form, leaf):
    text = form.format(*[leaf] * form.count("{}"))
    assert accepted(text) == in_language(text)


SEEDS = [
    "row['a'] > 3 and row.get('b', 0) is not None  # why",
    "'high' if row['a'] % 2 == 0 else 'low'",
    "len(row['l']) in {1, 5} or not (row['d']['k'],)",
    "int(row['s']) + -1.5 * row['f'] // 2 if 'k' in row else {'a': [1]}",
]
PIECES = [
    *".,:;()[]{}'\"#\\*=+-@&|~^%<>! \n\t\0`?$é\u00a0\ufeff",
    *[
        "**",
        ":=",
        "//",
        "->",
        "...",
        "get",
        ".get",
        "row",
        "lambda",
        "for x in row",
        "if",
        "else",
        "not",
        "is",
    ],
    *[
        "await ",
        "yield ",
        "f",
        "b",
        "u",
        "r",
        "rb",
        "1j",
        "_",
        "__class__",
        "0x",
        "\r\n",
        "import os",
        "None",
    ],
]


@st.composite
def mutations(draw):
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 4)))
        text = text[:start] + draw(st.one_of(st.just(""), st.sampled_from(PIECES))) + text[end:]
    return text


@settings(max_examples=200)
@given(mutations())
@example("row['a'] if row['b'] else\N{NO-BREAK SPACE}1")
def test_a_mutated_expression_is_accepted_just_when_it_is_still_in_the_language(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert accepted(text) == in_language(text)


@settings(max_examples=100)
@given(st.text(max_size=30))
def test_any_text_is_accepted_or_refused_and_nothing_else_happens(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert accepted(text) == in_language(text)
