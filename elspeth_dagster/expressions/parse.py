"""From a text to the tree of an accepted expression, or to an error that says what is refused, and where."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from elspeth_dagster.expressions.errors import ExpressionError
from elspeth_dagster.expressions.limits import (
    MAX_DEPTH,
    MAX_EXPRESSION_CHARACTERS,
    MAX_INTEGER_DIGITS,
    has_too_many_digits,
)
from elspeth_dagster.expressions.places import Places
from elspeth_dagster.expressions.tree import (
    Arithmetic,
    ArithmeticOperator,
    Call,
    Choice,
    Comparison,
    ComparisonOperator,
    Function,
    Get,
    Item,
    Items,
    Kind,
    Literal,
    Logic,
    Node,
    Pairs,
    Root,
    Unary,
)

ARGUMENT_COUNTS: dict[str, tuple[int, int]] = {
    "abs": (1, 1),
    "bool": (0, 1),
    "float": (0, 1),
    "int": (0, 2),
    "len": (1, 1),
    "str": (0, 3),
}
"""The functions of the language, with the least and the most arguments that each takes."""

_ARITHMETIC: dict[type[ast.operator], ArithmeticOperator] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}
_COMPARISONS: dict[type[ast.cmpop], ComparisonOperator] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
}
_DISPLAYS = {ast.List: Kind.LIST, ast.Tuple: Kind.TUPLE, ast.Set: Kind.SET}
_FUNCTIONS_TEXT = ", ".join(sorted(ARGUMENT_COUNTS))

_FORBIDDEN_OPERATORS: dict[type[ast.AST], str] = {
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.Invert: "~",
}
_FORBIDDEN_CONSTRUCTS: dict[type[ast.AST], str] = {
    ast.Await: "'await'",
    ast.DictComp: "a comprehension",
    ast.FormattedValue: "an f-string",
    ast.GeneratorExp: "a generator",
    ast.JoinedStr: "an f-string",
    ast.Lambda: "a lambda",
    ast.ListComp: "a comprehension",
    ast.NamedExpr: "an assignment (':=')",
    ast.SetComp: "a comprehension",
    ast.Slice: "a slice",
    ast.Starred: "unpacking ('*')",
    ast.Yield: "'yield'",
    ast.YieldFrom: "'yield'",
}


@dataclass(frozen=True, slots=True)
class Access:
    """A place where the expression reads its root.

    Attributes:
        key: The key that it reads there; None when that is known for each row only, or is the whole row.
        offset: Where in the text, in characters from 0.
    """

    key: str | None
    offset: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """An accepted expression.

    Attributes:
        node: Its tree.
        accesses: Every place where it reads its root.
    """

    node: Node
    accesses: tuple[Access, ...]


def parse(text: str, name: str) -> Parsed:
    """Parses a text whose root is called `name`.

    Raises:
        ExpressionError: The text is not in the language.
    """
    if not text.strip():
        raise ExpressionError(text, "the expression is empty")
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        raise ExpressionError(
            text, f"it has {len(text):,} characters; the limit is {MAX_EXPRESSION_CHARACTERS:,}"
        )
    if text[0].isspace():
        raise ExpressionError(text, "it must not start with whitespace")
    reader = _Reader(text, name)
    try:
        node = reader.read(_python_tree(text).body)
    except RecursionError:
        raise ExpressionError(text, _too_deep()) from None
    return Parsed(node, tuple(reader.accesses))


def _python_tree(text: str) -> ast.Expression:
    try:
        return ast.parse(text, filename="<expression>", mode="eval")
    except SyntaxError as error:
        offset = len(text)  # where the parser stands when it names no place
        if error.lineno and error.offset:
            offset = Places(text).of_line(error.lineno, error.offset - 1)
        raise ExpressionError(text, f"not one Python expression: {error.msg}", offset) from None
    except UnicodeEncodeError as error:
        raise ExpressionError(text, "it holds a lone surrogate", error.start) from None
    except ValueError as error:  # a NUL, in some versions of Python
        raise ExpressionError(text, str(error)) from None
    except (MemoryError, RecursionError):  # how Python's parser says that the nesting is too deep
        raise ExpressionError(text, _too_deep()) from None


def _too_deep() -> str:
    return f"it is nested more than {MAX_DEPTH} levels deep (each operator of 'a + b + c' counts as one)"


class _Reader:
    """Turns Python's tree into ours. A type of node without a method here is refused."""

    def __init__(self, text: str, name: str) -> None:
        self.accesses: list[Access] = []
        self._text = text
        self._name = name
        self._places = Places(text)
        self._depth = 0
        self._readers: dict[type[ast.expr], Callable[[Any], Node]] = {
            ast.Constant: self._constant,
            ast.Name: self._bare_name,
            ast.List: self._items,
            ast.Tuple: self._items,
            ast.Set: self._items,
            ast.Dict: self._pairs,
            ast.Subscript: self._subscript,
            ast.Attribute: self._attribute,
            ast.Call: self._call,
            ast.Compare: self._comparison,
            ast.BoolOp: self._logic,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._arithmetic,
            ast.IfExp: self._choice,
        }

    def read(self, node: ast.expr) -> Node:
        """Gives our form of a node."""
        reader = self._readers.get(type(node))
        if reader is None:
            construct = _FORBIDDEN_CONSTRUCTS.get(type(node), f"'{type(node).__name__}'")
            self._refuse(
                node,
                f"{construct} is not allowed; the language has {self._name}['key'], {self._name}.get('key'), "
                f"literals, comparisons, and/or/not, + - * / // %, 'a if c else b' and the functions "
                f"{_FUNCTIONS_TEXT}",
            )
        if self._depth >= MAX_DEPTH:
            self._refuse(node, _too_deep())
        self._depth += 1
        result = reader(node)
        self._depth -= 1
        return result

    def _all(self, nodes: list[ast.expr]) -> tuple[Node, ...]:
        return tuple([self.read(node) for node in nodes])

    def _constant(self, node: ast.Constant) -> Node:
        value = node.value
        if value is not None and type(value) not in (bool, int, float, str):
            found = "..." if value is ... else f"a {type(value).__name__} literal"
            self._refuse(node, f"{found} is not allowed; literals are text, int, float, True, False and None")
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            self._refuse(node, "the text holds a lone surrogate")
        if isinstance(value, int) and has_too_many_digits(value):
            self._refuse(node, f"an integer of more than {MAX_INTEGER_DIGITS:,} digits is not allowed")
        return Literal(cast("str | int | float | bool | None", value))

    def _bare_name(self, node: ast.Name) -> Node:
        identifier = self._identifier(node)
        if identifier == self._name:
            self._accessed(None, node)
            return Root()
        if identifier in ARGUMENT_COUNTS:
            return Function(identifier)
        return self._refuse(
            node,
            f"the name '{identifier}' is not known; there are {self._name} and {_FUNCTIONS_TEXT}",
        )

    def _items(self, node: ast.List | ast.Tuple | ast.Set) -> Node:
        return Items(_DISPLAYS[type(node)], self._all(node.elts))

    def _pairs(self, node: ast.Dict) -> Node:
        keys = [key for key in node.keys if key is not None]
        if len(keys) < len(node.keys):
            self._refuse(node, "unpacking ('**') is not allowed; write the keys out")
        return Pairs(self._all(keys), self._all(node.values))

    def _subscript(self, node: ast.Subscript) -> Node:
        if self._is_root(node.value):
            return Item(Root(), self._key(node.slice, node.value))
        base = self.read(node.value)
        if not isinstance(base, Item | Get):
            self._refuse(
                node,
                f"only what is read from {self._name} may be subscripted, such as {self._name}['key'][0]",
            )
        return Item(base, self.read(node.slice))

    def _attribute(self, node: ast.Attribute) -> Node:
        if self._is_get(node):
            self._refuse(
                node,
                f"{self._name}.get must be called: {self._name}.get(key) or {self._name}.get(key, default)",
            )
        return self._refuse_attribute(node)

    def _call(self, node: ast.Call) -> Node:
        if node.keywords:
            self._refuse(node, "keyword arguments are not allowed; give arguments by position")
        count = len(node.args)
        match node.func:
            case ast.Attribute() if self._is_get(node.func):
                self._check_count(node, f"{self._name}.get", count, (1, 2))
                key = self._key(node.args[0], node.func.value)
                return Get(key, self.read(node.args[1]) if count > 1 else Literal(None))
            case ast.Attribute():
                return self._refuse_attribute(node.func)
            case ast.Name() if self._identifier(node.func) in ARGUMENT_COUNTS:
                self._check_count(node, node.func.id, count, ARGUMENT_COUNTS[node.func.id])
                return Call(node.func.id, self._all(node.args))
        called = f"'{node.func.id}'" if isinstance(node.func, ast.Name) else "this"
        return self._refuse(node, f"{called} cannot be called; the functions are {_FUNCTIONS_TEXT}")

    def _comparison(self, node: ast.Compare) -> Node:
        operators = tuple([_COMPARISONS[type(operator)] for operator in node.ops])
        sides = [node.left, *node.comparators]
        operands: list[Node] = []
        for index, side in enumerate(sides):
            if self._is_root(side) and index and operators[index - 1] in ("in", "not in"):
                self._membership(side, sides[index - 1], is_last=index == len(operators))
                operands.append(Root())
            else:
                operands.append(self.read(side))
        for index, operator in enumerate(operators):
            if operator in ("is", "is not") and Literal(None) not in operands[index : index + 2]:
                self._refuse(
                    sides[index], f"'{operator}' compares with None only; use == or != for other values"
                )
        return Comparison(tuple(operands), operators)

    def _logic(self, node: ast.BoolOp) -> Node:
        return Logic("and" if isinstance(node.op, ast.And) else "or", self._all(node.values))

    def _unary(self, node: ast.UnaryOp) -> Node:
        operand = self.read(node.operand)
        match node.op:
            case ast.Not():
                return Unary("not", operand)
            case ast.USub():
                return Unary("-", operand)
            case ast.UAdd():
                return Unary("+", operand)
        return self._refuse_operator(node, node.op, self._places.start(node))

    def _arithmetic(self, node: ast.BinOp) -> Node:
        operator = _ARITHMETIC.get(type(node.op))
        if operator is None:
            return self._refuse_operator(node, node.op, self._places.end(node.left))
        return Arithmetic(operator, self.read(node.left), self.read(node.right))

    def _choice(self, node: ast.IfExp) -> Node:
        return Choice(self.read(node.test), self.read(node.body), self.read(node.orelse))

    def _is_root(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and self._identifier(node) == self._name

    def _is_get(self, node: ast.Attribute) -> bool:
        return node.attr == "get" and self._is_written(node) and self._is_root(node.value)

    def _key(self, key: ast.expr, root: ast.expr) -> Node:
        self._accessed(_literal_text(key), root)
        return self.read(key)

    def _membership(self, root: ast.expr, key: ast.expr, *, is_last: bool) -> None:
        """Notes `key in row`; in a chain that goes on behind it, the whole row is read too."""
        self._accessed(_literal_text(key), root)
        if not is_last:
            self._accessed(None, root)

    def _accessed(self, key: str | None, root: ast.expr) -> None:
        self.accesses.append(Access(key, self._places.start(root)))

    def _identifier(self, node: ast.Name) -> str:
        """Gives a name, refusing one that Python only reads as that name after Unicode normalisation."""
        start = self._places.start(node)
        if not self._text.startswith(node.id, start):
            self._refuse(
                node, f"a name that is read as '{node.id}' must be written with exactly these letters"
            )
        return node.id

    def _is_written(self, attribute: ast.Attribute) -> bool:
        return self._text.endswith(attribute.attr, 0, self._places.end(attribute))

    def _check_count(self, node: ast.Call, function: str, count: int, allowed: tuple[int, int]) -> None:
        least, most = allowed
        if not least <= count <= most:
            expected = str(least) if least == most else f"{least} to {most}"
            self._refuse(node, f"{function}() takes {expected} arguments, not {count}")

    def _refuse_attribute(self, node: ast.Attribute) -> NoReturn:
        self._refuse(
            node,
            f"'.{node.attr}' is not allowed: there are no attributes or methods but {self._name}.get(key) "
            f"and {self._name}.get(key, default)",
            self._text.find(".", self._places.end(node.value)),
        )

    def _refuse_operator(self, node: ast.expr, operator: ast.AST, start: int) -> NoReturn:
        symbol = _FORBIDDEN_OPERATORS.get(type(operator), type(operator).__name__)
        reason = f"the operator '{symbol}' is not allowed; arithmetic is + - * / // %"
        self._refuse(node, reason, self._text.find(symbol, start))

    def _refuse(self, node: ast.expr, reason: str, offset: int = -1) -> NoReturn:
        raise ExpressionError(self._text, reason, offset if offset >= 0 else self._places.start(node))


def _literal_text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
