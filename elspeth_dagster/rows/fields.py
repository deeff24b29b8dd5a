"""The schema block: declared fields, how strictly they are meant, and what a node promises and needs."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from elspeth_dagster.rows.errors import SchemaError, SchemaPath


class SchemaMode(Enum):
    """What happens to fields that are not declared."""

    FIXED = "fixed"
    FLEXIBLE = "flexible"
    OBSERVED = "observed"


class FieldType(Enum):
    """The declared type of a field."""

    INT = "int"
    FLOAT = "float"
    STR = "str"
    BOOL = "bool"
    ANY = "any"


@dataclass(frozen=True)
class FieldSpec:
    """A declared field; one that is not required may be missing or null."""

    name: str
    type: FieldType
    required: bool


@dataclass(frozen=True)
class Schema:
    """A schema block.

    Attributes:
        mode: FIXED and FLEXIBLE declare fields; OBSERVED declares none.
        fields: The declared fields in their order.
        guaranteed_fields: Names that the node promises to emit beside its required fields.
        required_fields: Names that the node needs in its input.
        audit_fields: Names for information alone.
    """

    mode: SchemaMode
    fields: tuple[FieldSpec, ...] = ()
    guaranteed_fields: tuple[str, ...] = ()
    required_fields: tuple[str, ...] = ()
    audit_fields: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the declared fields, in their order."""
        return tuple(field.name for field in self.fields)

    def field(self, name: str) -> FieldSpec | None:
        """The declared field of that name, if there is one."""
        return next((field for field in self.fields if field.name == name), None)


OBSERVED = Schema(SchemaMode.OBSERVED)

_NAME_LISTS = ("guaranteed_fields", "required_fields", "audit_fields")
_KEYS = ("mode", "fields", *_NAME_LISTS)
_FIELD_KEYS = ("name", "type", "required")
_FORMERLY = {"strict": "fixed", "free": "flexible", "dynamic": "observed"}
_TYPES = ", ".join(kind.value for kind in FieldType)
_MODES = ", ".join(mode.value for mode in SchemaMode)
_MEANT = {
    **dict.fromkeys(("integer", "bigint", "smallint", "long", "int32", "int64"), FieldType.INT),
    **dict.fromkeys(("double", "number", "real", "float32", "float64"), FieldType.FLOAT),
    **dict.fromkeys(("string", "text", "varchar", "char", "uuid"), FieldType.STR),
    "boolean": FieldType.BOOL,
}
_NOT_THERE = ("date", "datetime", "time", "timestamp", "decimal", "numeric", "money")
_SPEC = re.compile(r"([^:\s]+):\s*([^\s?]+)(\?)?")


def parse_schema(block: Any) -> Schema:
    """The schema that a `schema` block of a settings file declares.

    Args:
        block: The block as YAML gives it.

    Raises:
        SchemaError: The block is not as the format has it; the error's path leads to the culprit.
    """
    if not isinstance(block, dict):
        raise SchemaError((), f"a schema is a mapping with the key mode ({_MODES}), not {_described(block)}")
    for key in block:
        if key not in _KEYS:
            raise SchemaError((key,), f"unknown key; a schema has {', '.join(_KEYS)}")
    mode = _parse_mode(block)
    fields = _parse_fields(block.get("fields"), mode)
    lists = {key: _parse_names(block.get(key), key, mode, fields) for key in _NAME_LISTS}
    return Schema(mode, fields, **lists)


def _parse_mode(block: dict[str, Any]) -> SchemaMode:
    if "mode" not in block:
        raise SchemaError((), f"the key mode is missing; it is one of {_MODES}")
    value = block["mode"]
    if isinstance(value, str) and value in _FORMERLY:
        raise SchemaError(("mode",), f"{value!r} is called {_FORMERLY[value]!r}")
    modes: dict[Any, SchemaMode] = {mode.value: mode for mode in SchemaMode}
    if not isinstance(value, str) or value not in modes:
        raise SchemaError(("mode",), f"expected one of {_MODES}, found {_described(value)}")
    return modes[value]


def _parse_fields(value: Any, mode: SchemaMode) -> tuple[FieldSpec, ...]:
    if value is None or value == []:
        if mode is not SchemaMode.OBSERVED:
            raise SchemaError(("fields",), f"mode {mode.value} needs at least one declared field")
        return ()
    if mode is SchemaMode.OBSERVED:
        raise SchemaError(("fields",), "mode observed declares no fields; fixed and flexible do")
    if not isinstance(value, list):
        raise SchemaError(("fields",), f"expected a list of fields, found {_described(value)}")
    fields: dict[str, FieldSpec] = {}
    for position, item in enumerate(value):
        path = ("fields", position)
        field = _parse_field(item, path)
        if field.name in fields:
            raise SchemaError(path, f"the field {field.name!r} is declared twice")
        fields[field.name] = field
    return tuple(fields.values())


def _parse_field(item: Any, path: SchemaPath) -> FieldSpec:
    if isinstance(item, str):
        return _parse_spec(item, path)
    if isinstance(item, dict) and len(item) == 1:
        name, kind = next(iter(item.items()))
        if isinstance(name, str) and isinstance(kind, str):
            return _parse_spec(f"{name}: {kind}", path)
        raise SchemaError(path, f"expected NAME: TYPE in text, found {_described(name)}: {_described(kind)}")
    if isinstance(item, dict):
        return _parse_field_mapping(item, path)
    raise SchemaError(path, f'expected a field such as "qty: int?", found {_described(item)}')


def _parse_spec(text: str, path: SchemaPath) -> FieldSpec:
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        raise SchemaError(path, f'expected a field such as "qty: int" or "qty: int?", found {text!r}')
    name, kind, optional = match.groups()
    return FieldSpec(_identifier(name, path), _parse_type(kind, path), required=optional is None)


def _parse_field_mapping(item: dict[Any, Any], path: SchemaPath) -> FieldSpec:
    if set(item) != set(_FIELD_KEYS):
        raise SchemaError(path, f"a field written as a mapping has exactly the keys {', '.join(_FIELD_KEYS)}")
    if not isinstance(item["required"], bool):
        raise SchemaError(
            (*path, "required"), f"expected true or false, found {_described(item['required'])}"
        )
    name = _identifier(item["name"], (*path, "name"))
    return FieldSpec(name, _parse_type(item["type"], (*path, "type")), item["required"])


def _parse_type(value: Any, path: SchemaPath) -> FieldType:
    types: dict[Any, FieldType] = {kind.value: kind for kind in FieldType}
    if not isinstance(value, str) or value not in types:
        message = f"unknown type {_described(value)}; a field's type is one of {_TYPES}{_meant(value)}"
        raise SchemaError(path, message)
    return types[value]


def _meant(value: Any) -> str:
    """What the author of an unknown type may mean; SQL's types may have a size, such as `varchar(20)`."""
    word = str(value).lower().partition("(")[0]
    if word in _NOT_THERE:
        return (
            f"; there is none for a {word}: a str keeps its text as it is, for a gate or transform to check"
        )
    meant = next((kind for kind in FieldType if kind.value == word), _MEANT.get(word))
    return f"; did you mean '{meant.value}'?" if meant else ""


def _parse_names(value: Any, key: str, mode: SchemaMode, fields: tuple[FieldSpec, ...]) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise SchemaError((key,), f"expected a list of field names, found {_described(value)}")
    names: list[str] = []
    declared = {field.name for field in fields}
    for position, item in enumerate(value):
        name = _identifier(item, (key, position))
        if name in names:
            raise SchemaError((key, position), f"{name!r} is listed twice")
        if mode is not SchemaMode.OBSERVED and name not in declared:
            raise SchemaError((key, position), f"{name!r} is not among the declared fields")
        names.append(name)
    return tuple(names)


def _identifier(value: Any, path: SchemaPath) -> str:
    name = value.strip() if isinstance(value, str) else value
    if not isinstance(name, str) or not name.isidentifier():
        raise SchemaError(
            path, f"{_described(value)} is not a field name: letters, digits and _, no digit first"
        )
    return name


def _described(value: Any) -> str:
    """How a value of the settings is shown, with the hint that YAML may have read a word as a boolean."""
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()} (quote a word such as on, off, yes or no)"
    if isinstance(value, str):
        return repr(value)
    names = {dict: "a mapping", list: "a list", type(None): "null"}
    return names.get(type(value), f"{type(value).__name__} {value!r}")
