"""The known ways out of a Python sandbox, each closed, and what the compiled code can reach at all."""

import dis

import pytest

from elspeth_dagster.expressions import EvaluationError, ExpressionError, parse_expression
from elspeth_dagster.expressions.compile import _GLOBALS

ESCAPES = [
    "().__class__.__bases__[0].__subclasses__()",
    "''.__class__.__mro__",
    "row.__class__.__init__.__globals__",
    "row['s'].__class__",
    "len.__self__",
    "str.mro()",
    "str.format",
    "str.format('{0.__class__}', row)",
    "'{0.__class__}'.format(row)",
    "'{}'.format_map(row)",
    "str.__dict__['mro']",
    "int.from_bytes",
    "type(row)",
    "getattr(row, 'get')",
    "setattr(row, 'a', 1)",
    "__import__('os').system('true')",
    "eval('1')",
    "exec('1')",
    "compile('1', '', 'eval')",
    "globals()",
    "locals()",
    "vars()",
    "open('/etc/passwd')",
    "breakpoint()",
    "__builtins__",
    "__builtins__['eval']",
    "__name__",
    "FAULTS",
    "failure",
    "append",
    "results",
    "items",
    "aliases",
    "names",
    "value_0",
    "call_len(1)",
    "function_str",
    "missing('x')",
    "operations",
    "f'{row.__class__}'",
    "f'{row!r}'",
    "(row := 5)",
    "[row := 1]",
    "lambda: row",
    "(lambda: row)()",
    "(x for x in row).gi_frame",
    "[x for x in row]",
    "{x for x in row}",
    "{x: x for x in row}",
    "(yield)",
    "(yield from row)",
    "(await row)",
    "row.clear()",
    "row.pop('a')",
    "row.update({})",
    "row.setdefault('a', 1)",
    "row.items()",
    "row.get.__self__",
    "row.get.__call__('a')",
    "(row.get)",
    "[row.get][0]('a')",
    "(row.get if 1 else row.get)('a')",
    "row['f']('a')",
    "row('a')",
    "len(len)(1)",
    "(str)(1)('x')",
    "(int if 1 else str)('1')",
    "[str][0](1)",
    "row.get('a')()",
    "row.get(*['a'])",
    "row.get('a', **{})",
    "len(*row)",
    "row.get('a', default=1)",
    "row.get('a', 1, 2)",
    "row[*row]",
    "row[:]",
    "row['a':'b', 1]",
    "(row,)[0]",
    "(row or row)['a']",
    "(row if 1 else row)['a']",
    "(row['a'] + row['b'])[0]",
    "str(row)[0]",
    "'abc'[row['i']]",
    "\N{FULLWIDTH LATIN SMALL LETTER R}ow['a']",
    "row.\N{FULLWIDTH LATIN SMALL LETTER G}et('a')",
    "row.__\N{FULLWIDTH LATIN SMALL LETTER C}lass__",
    "\N{FULLWIDTH LATIN SMALL LETTER L}en('a')",
    "\N{SCRIPT SMALL L}en('a')",
    "row['a']\0",
    "row\0['a']",
    "row['a'] #\0",
    "row['a'] # comment\n; import os",
    "row['a'] # comment\nimport os",
    "row['a']\nrow['b']",
    "row['a'] \\\n; 1",
    "import os",
    "x = 1",
    "del row",
    "assert row",
    "return row",
    "raise row",
    "pass",
    "@row\ndef f(): pass",
    "match row:\n case _: 1",
    "if row: 1",
    "with row: 1",
    "async def f(): 1",
    "print(1)",
    "print",
    "*row",
    "*row,",
    "row: int",
    "`row`",
    "row!",
    "row <> 1",
    "b'%c' % 1",
    "u'x'.encode",
    "1 .real",
    "1.0.hex()",
    "0x1.bit_length()",
    "None.__class__",
    "True.__class__",
    "Ellipsis",
    "NotImplemented",
    "__debug__",
    "object",
    "dict()",
    "list(row)",
    "set()",
    "bytes(10000000000)",
    "range(10)",
    "sum([1])",
    "max(1, 2)",
    "repr(row)",
    "hash(row)",
    "chr(1)",
    "format(1, '1000000000')",
    "pow(2, 10000000000)",
    "1 << 10000000000",
    "2 ** 10000000000",
    "9 ** 9 ** 9",
    "1 @ 1",
    "1 | 1",
    "1 ^ 1",
    "1 >> 1",
    "'\ud800'",
    "'\\ud800'",
    "'\\udfff' + 'x'",
    "\ufeffrow",
    "\u00a0row",
    "row\u00a0",
    "\t1",
    "\n1",
    "\x0c1",
    "1; 1",
    "# only a comment",
    "   ",
    "\n",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_an_escape_is_refused(text):
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)

    assert 0 <= caught.value.offset <= len(text)
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("'%(__class__)s' % row", "missing key '__class__'"),
        ("'%(a.real)s' % row", "missing key 'a.real'"),
        ("row['__class__']", "missing key '__class__'"),
        ("row.get('zz', str)['mro']", "type 'type' is not subscriptable"),
        ("row.get('zz', len)['__self__']", "'builtin_function_or_method' object is not subscriptable"),
        ("len * 2", "'*' between builtin_function_or_method and int"),
    ],
)
def test_what_only_looks_like_an_escape_has_no_value(text, reason):
    with pytest.raises(EvaluationError) as caught:
        parse_expression(text).evaluate({"a": 1})
    assert caught.value.reason == reason or "not subscriptable" in reason


def test_format_braces_are_plain_text():
    assert parse_expression("'{0.__class__}' + row['a']").evaluate({"a": "!"}) == "{0.__class__}!"


EVERYTHING = (
    "[row['a'], row.get('b', 1), row.get('b', row['a']), row.get(row['a'], row), row[row['a']], row['zz'], "
    "'a' in row, row['a'] in row, 1 < row['a'] < 3, 1 is None, row and 1 or not row, row['a'] if row else 0, "
    "row['a'] + 1, row['a'] + row['b'], row['a'] * row['b'], row['a'] % row['b'], row['a'] - 1, -row['a'], "
    "row['a'] / 2, row['a'] // 2, len(row), str(row), int(row['a']), float(row['a']), bool(row), "
    "abs(row['a']), len, str, (1,), {1}, {1: 2}]"
)


@pytest.mark.parametrize("present", ["ab", "a", ""])
def test_the_compiled_code_reaches_nothing_but_the_helpers(present):
    program = parse_expression(EVERYTHING)._program(frozenset(present), {})
    code = program.loop.__code__

    assert set(code.co_names) <= _GLOBALS.keys() | {"append"}
    for instruction in dis.get_instructions(code):
        if instruction.opname in {"LOAD_ATTR", "LOAD_METHOD"}:
            assert instruction.argval == "append"
        assert not instruction.opname.startswith(("IMPORT", "STORE_ATTR", "STORE_SUBSCR", "STORE_GLOBAL"))
        assert not instruction.opname.startswith(("DELETE_SUBSCR", "DELETE_ATTR", "MAKE_FUNCTION"))
    assert not [constant for constant in code.co_consts if hasattr(constant, "co_code")]
    assert program.loop.__globals__["__builtins__"] == {}
    assert program.loop.__closure__ is None
