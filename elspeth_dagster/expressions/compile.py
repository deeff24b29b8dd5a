"""From an expression's tree to a Python function over columns.

The function is made of syntax nodes that this package creates: nothing of the text reaches Python's compiler
but the values of literals. It has no builtins, and its only globals are those in `_GLOBALS`.
"""

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from elspeth_dagster.expressions import operations
from elspeth_dagster.expressions.errors import EVALUATION_FAULTS, EvaluationError, evaluation_error
from elspeth_dagster.expressions.tree import Node
from elspeth_dagster.expressions.write import ALIASES, CALL, FUNCTION, NAMES, ROW, Writer

Outcome = Any | EvaluationError
Loop = Callable[[Iterable[Any], Mapping[str, Any], Mapping[str, str]], list[Outcome]]

_VALUE = "VALUE"
_TARGET = "TARGET"
_TEMPLATE = f"""
def loop(items, {NAMES}, {ALIASES}):
    results = []
    append = results.append
    for {_TARGET} in items:
        try:
            append({_VALUE})
        except FAULTS as fault:
            append(failure(fault))
    return results
"""

_FUNCTIONS = {"abs": abs, "bool": bool, "float": float, "int": int, "len": len, "str": str}
_GUARDED = {"int": operations.to_integer, "str": operations.to_text}
_GLOBALS: dict[str, Any] = {
    "__builtins__": {},
    "FAULTS": EVALUATION_FAULTS,
    "failure": evaluation_error,
    "add": operations.add,
    "multiply": operations.multiply,
    "remainder": operations.remainder,
    "item": operations.item,
    "get": operations.get,
    "missing": operations.missing,
    "same": operations.same,
    "second": operations.second,
    **{f"{FUNCTION}{name}": function for name, function in _FUNCTIONS.items()},
    **{f"{CALL}{name}": _GUARDED.get(name, function) for name, function in _FUNCTIONS.items()},
}


@dataclass(frozen=True, slots=True)
class Program:
    """An expression compiled for one set of present keys.

    Attributes:
        keys: The keys whose values it takes, in order.
        takes_row: Whether it takes, after those, the whole row as a dict.
        takes_names: Whether it looks for computed names in the row.
        loop: Evaluates many rows: called with the rows' values (a tuple each, or the value itself when it
            takes just one), a dict with every name that `in row` finds, and the aliases.
    """

    keys: tuple[str, ...]
    takes_row: bool
    takes_names: bool
    loop: Loop

    @property
    def takes_nothing(self) -> bool:
        """Whether its value is the same for all rows with these keys."""
        return not self.keys and not self.takes_row


def compile_tree(node: Node, resolved: Mapping[str, str | None]) -> Program:
    """Compiles a tree.

    Args:
        node: The tree.
        resolved: For each literal key that it reads, the key of the row that holds it, or None.
    """
    writer = Writer(resolved)
    value = writer.write(node)
    takes = [*writer.variables.values(), *([ROW] if writer.takes_row else [])]
    module = ast.parse(_TEMPLATE)
    _Filler(value, takes).visit(module)
    namespace = dict(_GLOBALS)
    code = compile(ast.fix_missing_locations(module), "<expression>", "exec", dont_inherit=True)
    exec(code, namespace)  # noqa: S102 - see the module's docstring
    return Program(tuple(writer.variables), writer.takes_row, writer.takes_names, namespace["loop"])


class _Filler(ast.NodeTransformer):
    """Puts the expression and its variables into the template."""

    def __init__(self, value: ast.expr, takes: list[str]) -> None:
        self._value = value
        self._takes = takes

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id == _VALUE:
            return self._value
        if node.id != _TARGET:
            return node
        targets: list[ast.expr] = [ast.Name(name, ast.Store()) for name in self._takes or ["_"]]
        return targets[0] if len(targets) == 1 else ast.Tuple(targets, ast.Store())
