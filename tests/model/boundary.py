"""The boundary: schema blocks, coercion (section 2.4) and learned types (2.5 as 10 changes it)."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.reading import Record
from model.values import MOST_DIGITS, Row, can_be_held


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    required: bool


@dataclass(frozen=True)
class Schema:
    mode: str
    fields: tuple[Field, ...] = ()
    required_fields: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        return [field.name for field in self.fields]


def schema_of(options: Mapping[str, Any] | None) -> Schema:
    """The schema of a node with these options."""
    block = (options or {}).get("schema") or {"mode": "observed"}
    fields = tuple(_field(item) for item in block.get("fields") or ())
    return Schema(block["mode"], fields, tuple(block.get("required_fields") or ()))


def _field(item: Any) -> Field:
    if isinstance(item, dict) and len(item) == 3:
        return Field(item["name"], item["type"], item["required"])
    if isinstance(item, dict):
        ((name, kind),) = item.items()
        item = f"{name}: {kind}"
    name, _, kind = item.partition(":")
    kind = kind.strip()
    return Field(name.strip(), kind.removesuffix("?"), not kind.endswith("?"))


class Refused(Exception):  # noqa: N818 - what a value is, not what went wrong
    """The value is not of the type."""


def coerced(value: Any, kind: str, required: bool) -> Any:
    """A value as its declared type has it."""
    if value is None:
        if required and kind != "any":
            raise Refused
        return None
    if value == "" and not required and kind in {"int", "float", "bool"}:
        return None
    return {"int": _int, "float": _float, "bool": _bool, "str": _str, "any": _any}[kind](value)


def _int(value: Any) -> int:
    if isinstance(value, str):
        match = re.fullmatch(r"([+-]?)(\d(?:_?\d)*)(\.0+)?", value.strip(), re.ASCII)
        if not match:
            raise Refused
        digits = match[2].replace("_", "").lstrip("0") or "0"
        if len(digits) > MOST_DIGITS:
            raise Refused
        return int(match[1] + digits)
    if isinstance(value, float) and value == math.floor(value):
        return int(value)
    if isinstance(value, int):
        return int(value)
    raise Refused


def _float(value: Any) -> float:
    if isinstance(value, str) and not re.fullmatch(r"[-+0-9_.eE]+", value.strip()):
        raise Refused
    if isinstance(value, list | dict):
        raise Refused
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise Refused from None
    if not math.isfinite(number):
        raise Refused
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        for words, meaning in (("true t yes y on 1", True), ("false f no n off 0", False)):
            if value.lower() in words.split():
                return meaning
    elif isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise Refused


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused
    return value


def _any(value: Any) -> Any:
    if not can_be_held(value):
        raise Refused
    return value


@dataclass
class Crossed:
    """A record behind the boundary: a valid row, or what a quarantine sink gets."""

    row: Row
    valid: bool


class Boundary:
    """Takes records over in their order, and learns the types of undeclared fields on the way."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.learned: dict[str, str] = {}

    def cross(self, record: Record) -> Crossed:
        if record.shown is not None:
            return Crossed(record.shown, False)
        received = record.value
        row: Row = {}
        for field in self.schema.fields:
            if field.name not in received and field.required:
                return Crossed(received, False)
            try:
                row[field.name] = coerced(received.get(field.name), field.type, field.required)
            except Refused:
                return Crossed(received, False)
        extras = {name: value for name, value in received.items() if name not in self.schema.names}
        if extras and self.schema.mode == "fixed":
            return Crossed(received, False)
        row.update(extras)
        learned = dict(self.learned)
        for name, value in extras.items():
            kind = _learned_kind(value)
            if kind is not None and learned.setdefault(name, kind) != kind:
                return Crossed(row, False)
        self.learned = learned
        return Crossed(row, True)


def _learned_kind(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "container"
