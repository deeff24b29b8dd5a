"""The tree of an accepted expression. What has no form here cannot be evaluated."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal as OneOf

ComparisonOperator = OneOf["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"]
ArithmeticOperator = OneOf["+", "-", "*", "/", "//", "%"]
Scalar = str | int | float | bool | None


class Kind(Enum):
    """What a display of items makes."""

    LIST = "list"
    TUPLE = "tuple"
    SET = "set"


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, number, bool or None."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Items:
    """`[a, b]`, `(a, b)` or `{a, b}`."""

    kind: Kind
    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Pairs:
    """`{a: b}`."""

    keys: "tuple[Node, ...]"
    values: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Root:
    """The name itself: `row`."""


@dataclass(frozen=True, slots=True)
class Item:
    """`base[index]`."""

    base: "Root | Item | Get"
    index: "Node"


@dataclass(frozen=True, slots=True)
class Get:
    """`row.get(key)` or `row.get(key, default)`."""

    key: "Node"
    default: "Node"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`first < second <= third`: one operator between each two operands."""

    operands: "tuple[Node, ...]"
    operators: tuple[ComparisonOperator, ...]


@dataclass(frozen=True, slots=True)
class Logic:
    """`a and b and c`, or the same with `or`."""

    operator: OneOf["and", "or"]
    operands: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Unary:
    """`not a`, `-a` or `+a`."""

    operator: OneOf["not", "-", "+"]
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`a + b` and its like."""

    operator: ArithmeticOperator
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Choice:
    """`chosen if test else other`."""

    test: "Node"
    chosen: "Node"
    other: "Node"


@dataclass(frozen=True, slots=True)
class Function:
    """A function's bare name, e.g. `len`."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function called with positional arguments."""

    name: str
    arguments: "tuple[Node, ...]"


Node = (
    Literal
    | Items
    | Pairs
    | Root
    | Item
    | Get
    | Comparison
    | Logic
    | Unary
    | Arithmetic
    | Choice
    | Function
    | Call
)


def is_static_boolean(node: Node) -> bool:
    """Tells whether a value is a bool for every row that it has one for, by its form alone."""
    match node:
        case Comparison() | Unary(operator="not") | Call(name="bool"):
            return True
        case Literal(value=value):
            return isinstance(value, bool)
        case Logic(operands=operands):
            return all(is_static_boolean(operand) for operand in operands)
        case Choice(chosen=chosen, other=other):
            return is_static_boolean(chosen) and is_static_boolean(other)
    return False
