"""What a transform or a gate makes of one row (settings reference, 3 and 4, as 10 changes them)."""

import re
from collections.abc import Mapping
from typing import Any

from model.boundary import Schema, schema_of
from model.values import Row

Originals = Mapping[str, str]


class RowError(Exception):
    """The row takes the node's `on_error`."""


class Aliased(dict[str, Any]):
    """A row that also answers to the original headers of its fields."""

    def __init__(self, row: Row, originals: Originals) -> None:
        super().__init__(row)
        self._names = {header: name for name, header in originals.items() if name in row}

    def __missing__(self, key: Any) -> Any:
        return dict.__getitem__(self, self._names[key])

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, key) or key in self._names

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401 - this is `get`

    def name_of(self, key: str) -> str | None:
        """The field that a name or original header stands for."""
        if dict.__contains__(self, key):
            return key
        return self._names.get(key)


# --- gates -----------------------------------------------------------------------------------------------

_FUNCTIONS = {function.__name__: function for function in (len, str, int, float, bool, abs)}


def label(condition: str, row: Row, originals: Originals) -> str:
    """The label that a gate chooses: what Python makes of the condition, which was validated before."""
    try:
        result = eval(condition, {"__builtins__": _FUNCTIONS, "row": Aliased(row, originals)})
        if isinstance(result, bool):
            return "true" if result else "false"
        return result if isinstance(result, str) else str(result)
    except Exception as error:
        raise RowError from error


# --- transforms ------------------------------------------------------------------------------------------


def transform(
    plugin: str, options: Mapping[str, Any], row: Row, originals: Originals
) -> tuple[Row, Originals]:
    """The row behind a transform, with the original headers of its fields."""
    return {
        "passthrough": _passthrough,
        "field_mapper": _field_mapper,
        "truncate": _truncate,
        "keyword_filter": _keyword_filter,
        "asking": _asking,
    }[plugin](options, row, originals)


def latency(node: Mapping[str, Any], row: Row) -> int | None:
    """How long the call of a node that waits takes (µs), as the row says; `None` when it does not wait."""
    if node.get("plugin") != "asking":
        return None
    said = row.get(node["options"]["field"])
    return abs(said) if isinstance(said, int) and not isinstance(said, bool) else 0


def _asking(options: Mapping[str, Any], row: Row, originals: Originals) -> tuple[Row, Originals]:
    said = row.get(options["field"])
    if isinstance(said, int) and said < 0:
        raise RowError(options["field"])
    return row, originals


def _passthrough(options: Mapping[str, Any], row: Row, originals: Originals) -> tuple[Row, Originals]:
    _validate(options, row)
    return row, originals


def _validate(options: Mapping[str, Any], row: Row) -> None:
    schema = schema_of(options)
    if not options.get("validate_input") or schema.mode == "observed":
        return
    if misfit(schema, row, closed=schema.mode == "fixed", validate=True) is not None:
        raise RowError


def _field_mapper(options: Mapping[str, Any], row: Row, originals: Originals) -> tuple[Row, Originals]:
    _validate(options, row)
    aliased = Aliased(row, originals)
    moved: Row = {}
    headers: dict[str, str] = {}
    left: set[str] = set()
    for source, target in options.get("mapping", {}).items():
        # A dot is a path; a field with a dot in its name can't be named, only one with a dot in its header.
        is_path = "." in source and source not in originals.values()
        name = None if is_path else aliased.name_of(source)
        if is_path:
            found, value = _by_path(aliased, source)
        elif name is None:
            found, value = False, None
        else:
            found, value = True, row[name]
        if not found:
            if options.get("strict"):
                raise RowError(source)
            continue
        moved[target] = value
        if name is not None and name != target:
            left.add(name)
        if name is not None and name in originals:
            headers[target] = originals[name]
    for source, target in options.get("mapping", {}).items():
        is_path = "." in source and source not in originals.values()
        same = not is_path and aliased.name_of(source) == target
        if target in moved and target in row and target not in left and not same:
            raise RowError(target)
    if options.get("select_only"):
        return moved, headers
    # A field that is mapped to itself stays where it is.
    kept = {name: value for name, value in row.items() if name not in left}
    result = {**kept, **moved}
    known = {name: header for name, header in originals.items() if name in kept and name not in moved}
    return result, {**known, **headers}


def _by_path(row: Aliased, path: str) -> tuple[bool, Any]:
    head, *rest = path.split(".")
    if head not in row:
        return False, None
    value = row[head]
    for key in rest:
        if not isinstance(value, dict):
            raise RowError(path)
        if key not in value:
            return False, None
        value = value[key]
    return True, value


def _truncate(options: Mapping[str, Any], row: Row, originals: Originals) -> tuple[Row, Originals]:
    aliased, result, suffix = Aliased(row, originals), dict(row), options.get("suffix", "")
    for field, limit in options.get("fields", {}).items():
        name = aliased.name_of(field)
        if name is None:
            if options.get("strict"):
                raise RowError(field)
            continue
        value = result[name]
        if not isinstance(value, str):
            raise RowError(field)
        if len(value) > limit:
            result[name] = value[: limit - len(suffix)] + suffix
    return result, originals


def _keyword_filter(options: Mapping[str, Any], row: Row, originals: Originals) -> tuple[Row, Originals]:
    aliased, fields = Aliased(row, originals), options["fields"]
    patterns = [re.compile(pattern) for pattern in options["blocked_patterns"]]
    if fields == "all":
        texts = [value for value in row.values() if isinstance(value, str)]
    else:
        names = [fields] if isinstance(fields, str) else fields
        texts = [aliased[name] for name in names if name in aliased]
    for text in texts:
        if not isinstance(text, str) or any(pattern.search(text) for pattern in patterns):
            raise RowError
    return row, originals


def exploded(options: Mapping[str, Any], row: Row) -> list[Row]:
    """The rows that `json_explode` makes of one."""
    field, output = options["array_field"], options.get("output_field", "item")
    added = [output, "item_index"] if options.get("include_index", True) else [output]
    elements = row.get(field)
    others = {name: value for name, value in row.items() if name != field}
    if not isinstance(elements, list) or not elements or any(name in others for name in added):
        raise RowError(field)
    return [
        {**others, **dict(zip(added, (item, index), strict=False))} for index, item in enumerate(elements)
    ]


# --- holding a row against a schema ----------------------------------------------------------------------


def misfit(
    schema: Schema, row: Row, *, closed: bool, validate: bool = False, typed: bool = False
) -> str | None:
    """Why a row does not fit, in the words that a failure sink gets, or `None`."""
    for name in [field.name for field in schema.fields if field.required] + list(schema.required_fields):
        if name not in row:
            return f"missing_field: field {name}"
    if closed:
        for name in row:
            if name not in schema.names:
                return f"unknown_field: field {name}"
    for field in schema.fields:
        if field.name not in row:
            continue
        value = row[field.name]
        fits = True
        if validate:
            fits = _strictly(value, field.type) or (value is None and not field.required)
        if typed:
            fits = fits and _storable(value, field.type)
        if not fits:
            return f"wrong_type: field {field.name}, expected {field.type}, found {kind_label(value)}"
    return None


def _strictly(value: Any, kind: str) -> bool:
    number = isinstance(value, int) and not isinstance(value, bool)
    return {
        "int": number,
        "float": number or isinstance(value, float),
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "any": True,
    }[kind]


def _storable(value: Any, kind: str) -> bool:
    """Whether a typed file's column of a declared type holds the value without loss."""
    if value is None or kind == "any":
        return True
    accepted = {
        "int": {"int", "int past 2^53"},
        "float": {"float", "int"},
        "str": {"text"},
        "bool": {"bool"},
    }
    return kind_label(value) in accepted[kind]


def kind_label(value: Any) -> str:
    """What a value is, as messages have it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            return "int past 64 bits"
        return "int" if int(float(value)) == value else "int past 2^53"
    if isinstance(value, float):
        return "float"
    return "text" if isinstance(value, str) else "list or object"
