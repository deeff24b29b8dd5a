"""From the tree of an expression to the syntax nodes of the Python that evaluates it."""

import ast
from collections.abc import Callable, Mapping
from typing import Any

from elspeth_dagster.expressions.tree import (
    Arithmetic,
    Call,
    Choice,
    Comparison,
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

ROW = "row"
NAMES = "names"
ALIASES = "aliases"
FUNCTION = "function_"
"""Before a function's name: the function as a value, as when its name stands bare."""
CALL = "call_"
"""Before a function's name: what a call of it calls."""

_COMPARISONS: dict[str, type[ast.cmpop]] = {
    "==": ast.Eq,
    "!=": ast.NotEq,
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
    "in": ast.In,
    "not in": ast.NotIn,
    "is": ast.Is,
    "is not": ast.IsNot,
}
_UNARY: dict[str, type[ast.unaryop]] = {"not": ast.Not, "-": ast.USub, "+": ast.UAdd}
_NATIVE: dict[str, type[ast.operator]] = {
    "+": ast.Add,
    "-": ast.Sub,
    "*": ast.Mult,
    "/": ast.Div,
    "//": ast.FloorDiv,
    "%": ast.Mod,
}
_GUARDS = {"+": "add", "*": "multiply", "%": "remainder"}


class Writer:
    """Writes the nodes of one expression for one set of present keys, and notes what they use.

    Attributes:
        variables: The variable for each key of the row whose value is used, in order of use.
        takes_row: Whether the whole row is used.
        takes_names: Whether the names in the row are used.
    """

    def __init__(self, resolved: Mapping[str, str | None]) -> None:
        self.variables: dict[str, str] = {}
        self.takes_row = False
        self.takes_names = False
        self._resolved = resolved
        self._writers: dict[type[Node], Callable[[Any], ast.expr]] = {
            Literal: lambda node: ast.Constant(node.value),
            Root: lambda _: self._row(),
            Items: self._items,
            Pairs: lambda node: ast.Dict([*self._all(node.keys)], self._all(node.values)),
            Item: self._item,
            Get: self._get,
            Comparison: self._comparison,
            Logic: self._logic,
            Unary: lambda node: ast.UnaryOp(_UNARY[node.operator](), self.write(node.operand)),
            Arithmetic: self._arithmetic,
            Choice: self._choice,
            Function: lambda node: _name(f"{FUNCTION}{node.name}"),
            Call: lambda node: _call(f"{CALL}{node.name}", *self._all(node.arguments)),
        }

    def write(self, node: Node) -> ast.expr:
        """Gives the syntax node for a node of the tree."""
        return self._writers[type(node)](node)

    def _all(self, nodes: tuple[Node, ...]) -> list[ast.expr]:
        return [self.write(node) for node in nodes]

    def _row(self) -> ast.expr:
        self.takes_row = True
        return _name(ROW)

    def _variable(self, key: str) -> ast.expr:
        return _name(self.variables.setdefault(key, f"value_{len(self.variables)}"))

    def _items(self, node: Items) -> ast.expr:
        items = self._all(node.items)
        if node.kind is Kind.SET:
            return ast.Set(items)
        return (ast.List if node.kind is Kind.LIST else ast.Tuple)(items, ast.Load())

    def _logic(self, node: Logic) -> ast.expr:
        operator = ast.And() if node.operator == "and" else ast.Or()
        return ast.BoolOp(operator, self._all(node.operands))

    def _choice(self, node: Choice) -> ast.expr:
        return ast.IfExp(self.write(node.test), self.write(node.chosen), self.write(node.other))

    def _item(self, node: Item) -> ast.expr:
        match node:
            case Item(base=Root(), index=Literal(value=str() as key)):
                column = self._resolved[key]
                return _call("missing", ast.Constant(key)) if column is None else self._variable(column)
            case Item(base=Root(), index=index):
                return _call("item", self._row(), _name(ALIASES), self.write(index))
        return ast.Subscript(_unfolded(self.write(node.base)), self.write(node.index), ast.Load())

    def _get(self, node: Get) -> ast.expr:
        default = self.write(node.default)
        match node.key:
            case Literal(value=str() as key):
                column = self._resolved[key]
                if column is None:
                    return default
                if isinstance(node.default, Literal):
                    return self._variable(column)
                return _call("second", default, self._variable(column))
        return _call("get", self._row(), _name(ALIASES), self.write(node.key), default)

    def _comparison(self, node: Comparison) -> ast.expr:
        match node:
            case Comparison(
                operands=(Literal(value=str() as key), Root()), operators=("in" | "not in" as operator,)
            ):
                return ast.Constant((self._resolved[key] is not None) == (operator == "in"))
        return self._chain(node)

    def _chain(self, node: Comparison) -> ast.expr:
        """Writes a chain, cut in two behind each `in row`, as the row stands there for its names."""
        links: list[ast.expr] = []
        left = self._operand(node, 0)
        operators: list[ast.cmpop] = []
        operands: list[ast.expr] = []
        for index, operator in enumerate(node.operators, start=1):
            operators.append(_COMPARISONS[operator]())
            if operator in ("in", "not in") and node.operands[index] == Root():
                self.takes_names = True
                links.append(ast.Compare(left, operators, [*operands, _name(NAMES)]))
                operators, operands = [], []
                if index < len(node.operators):
                    left = self._row()
            else:
                operands.append(self._operand(node, index))
        if operators:
            links.append(ast.Compare(left, operators, operands))
        return links[0] if len(links) == 1 else ast.BoolOp(ast.And(), links)

    def _operand(self, node: Comparison, index: int) -> ast.expr:
        operand = self.write(node.operands[index])
        beside = node.operators[max(0, index - 1) : index + 1]
        is_none = node.operands[index] == Literal(None)
        return operand if is_none or not {"is", "is not"} & set(beside) else _unfolded(operand)

    def _arithmetic(self, node: Arithmetic) -> ast.expr:
        left, right = self.write(node.left), self.write(node.right)
        if node.operator in _GUARDS and not _is_harmless(node):
            return _call(_GUARDS[node.operator], left, right)
        return ast.BinOp(left, _NATIVE[node.operator](), right)


def _is_harmless(node: Arithmetic) -> bool:
    """Tells whether a literal operand rules out that `+`, `*` or `%` builds anything large."""
    match node:
        case (
            Arithmetic(operator="+", left=Literal(value=int() | float()))
            | Arithmetic(operator="+", right=Literal(value=int() | float()))
            | Arithmetic(operator="*", left=Literal(value=float()))
            | Arithmetic(operator="*", right=Literal(value=float()))
            | Arithmetic(operator="%", left=Literal(value=int() | float()))
        ):
            return True
    return False


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _call(function: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(_name(function), list(arguments), [])


def _unfolded(value: ast.expr) -> ast.expr:
    """Hides from Python's compiler what it would warn about, e.g. `1 is None` or `None[0]`."""
    return value if isinstance(value, ast.Name | ast.Call | ast.Subscript) else _call("same", value)
