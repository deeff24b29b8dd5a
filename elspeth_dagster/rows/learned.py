"""Types of undeclared fields, learned as rows come in.

Null joins everything and integers and floats are one number type, so that no row is set aside because of the
order in which rows arrive with nulls or fractions. Text against number or scalar against container is a
conflict: the row that brings it is set aside, and teaches nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Self


class ValueKind(Enum):
    """What values are told apart by."""

    TEXT = "text"
    NUMBER = "number"
    BOOL = "bool"
    CONTAINER = "container"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BYTES = "bytes"


_KINDS: dict[type, ValueKind | None] = {
    type(None): None,
    str: ValueKind.TEXT,
    int: ValueKind.NUMBER,
    float: ValueKind.NUMBER,
    Decimal: ValueKind.NUMBER,
    bool: ValueKind.BOOL,
    list: ValueKind.CONTAINER,
    dict: ValueKind.CONTAINER,
    date: ValueKind.DATE,
    datetime: ValueKind.TIMESTAMP,
    bytes: ValueKind.BYTES,
}
_REMEMBERED = 1000


@dataclass(frozen=True)
class TypesState:
    """What the valid rows so far have taught.

    Attributes:
        kinds: Field name to the kind of its values; a field that was only ever null is not there.
    """

    kinds: Mapping[str, ValueKind] = field(default_factory=dict)

    def to_json(self) -> dict[str, str]:
        """For a cursor; `from_json` reads it."""
        return {name: kind.value for name, kind in self.kinds.items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> Self:
        """The state that `to_json` wrote."""
        return cls({name: ValueKind(kind) for name, kind in stored.items()})


@dataclass(frozen=True)
class Conflict:
    """A value that is of another kind than its field's.

    Attributes:
        field: The field.
        learned: Its kind.
        value: What the row has there.
    """

    field: str
    learned: ValueKind
    value: Any


class TypesFold:
    """A state on its way through rows."""

    def __init__(self, state: TypesState) -> None:
        self._kinds = dict(state.kinds)
        self._known: set[tuple[Any, ...]] = set()

    @property
    def state(self) -> TypesState:
        """What has been learned so far."""
        return TypesState(dict(self._kinds))

    def add(self, undeclared: Mapping[str, Any]) -> list[Conflict]:
        """Takes up a row's undeclared fields; of a row with a conflict nothing is taken up."""
        # Kinds never change, so neither does what becomes of a row with the same fields and types.
        signature = (*undeclared, *map(type, undeclared.values()))
        if signature in self._known:
            return []
        conflicts = []
        learned = {}
        for name, value in undeclared.items():
            kind = _KINDS[type(value)]
            known = self._kinds.get(name)
            if kind is known or kind is None:
                continue
            if known is None:
                learned[name] = kind
            else:
                conflicts.append(Conflict(name, known, value))
        if not conflicts:
            self._kinds.update(learned)
            if len(self._known) < _REMEMBERED:
                self._known.add(signature)
        return conflicts
