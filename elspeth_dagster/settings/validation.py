"""One part of the document against its model; what does not fit is told in the words of the settings file."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from elspeth_dagster.settings.errors import did_you_mean
from elspeth_dagster.settings.findings import Findings
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.secrets import Secrets

Model = TypeVar("Model")

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "dataclass_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_UNKNOWN_KEY = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_OWN_MESSAGES = frozenset({"blank", "owner", "tag", "cron", "timezone", "duration"})
_FREE_KEYS_BELOW = frozenset(
    {"options", "routes", "branches", "tags", "services", "mapping", "provider_config"}
)
_LONGEST_SHOWN = 60


def validated(
    model: type[Model], raw: Any, path: KeyPath, findings: Findings, secrets: Secrets
) -> Model | None:
    """Validate one part of the document; a key with no value counts as not given.

    Args:
        model: A pydantic model or dataclass.
        raw: The part.
        path: Its key path.
        findings: Takes what is wrong.
        secrets: What may not be shown.

    Returns:
        The model, or None when something is wrong.
    """
    try:
        return TypeAdapter(model).validate_python(without_empty(raw))
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            findings.error(*_translated(detail, model, raw, path, secrets))
        return None


def without_empty(raw: Any) -> Any:
    """Give a mapping without the keys that have no value, down to those that the format does not name."""
    if not isinstance(raw, dict):
        return raw
    given = {key: value for key, value in raw.items() if value is not None}
    return {key: value if key in _FREE_KEYS_BELOW else without_empty(value) for key, value in given.items()}


def _translated(
    detail: ErrorDetails, model: type, raw: Any, path: KeyPath, secrets: Secrets
) -> tuple[KeyPath, str]:
    location = tuple(detail["loc"])
    place = (*path, *location)
    kind = detail["type"]
    if kind == "missing":
        return _missing(raw, path, location)
    if kind in _UNKNOWN_KEY:
        return place, _unknown_key(str(location[-1]), model, location[:-1])
    found = detail["input"]
    if secrets.is_secret(place, found):
        return place, "the value is not accepted (it is a secret, and not shown)"
    return place, _message(detail, described(found))


def _missing(raw: Any, path: KeyPath, location: KeyPath) -> tuple[KeyPath, str]:
    parent = raw
    for key in location[:-1]:
        parent = parent[key]
    key = location[-1]
    if isinstance(parent, Mapping) and key in parent:
        hint = "; the source null is written 'null', in quotes" if key == "plugin" else ""
        return (*path, *location), f"the required key '{key}' has no value{hint}"
    return (*path, *location[:-1]), f"the required key '{key}' is missing"


def _unknown_key(key: str, model: type, parent: KeyPath) -> str:
    accepted = list(_fields_at(model, parent))
    message = f"unknown key '{key}'; accepted: {', '.join(accepted)}{did_you_mean(key, accepted)}"
    if "options" in accepted and did_you_mean(key, accepted) == "":
        message += "; options of the plugin stand below 'options'"
    return message


def _message(detail: ErrorDetails, found: str) -> str:
    kind = detail["type"]
    context = detail.get("ctx", {})
    if kind in _EXPECTED:
        quotes = "; put it in quotes" if kind == "string_type" and found[-1:].isalnum() else ""
        return f"expected {_EXPECTED[kind]}, found {found}{quotes}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"expected {words} {context[name]:g}, found {found}"
    if kind in {"literal_error", "enum"}:
        accepted = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        return f"found {found}; accepted: {', '.join(accepted)}{did_you_mean(found.strip(chr(39)), accepted)}"
    if kind in {"too_short", "too_long"}:
        words, limit = ("least", "min_length") if kind == "too_short" else ("most", "max_length")
        noun = "entry" if context[limit] == 1 else "entries"
        return f"takes at {words} {context[limit]} {noun}, found {len(detail['input'])}"
    if kind == "value_error":
        return str(context["error"])
    return f"found {found}; {detail['msg']}" if kind in _OWN_MESSAGES else detail["msg"]


def described(value: Any) -> str:
    """Say what a value is, shortly."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "…")
    return f"the number {str(value)[:_LONGEST_SHOWN]}"


def _fields_at(model: type, location: KeyPath) -> Mapping[str, FieldInfo]:
    current: Any = model
    for key in location:
        fields = _fields(current)
        current = _nested_model(fields[key].annotation) if isinstance(key, str) and key in fields else current
    return _fields(current)


def _fields(model: Any) -> dict[str, FieldInfo]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return model.model_fields
    return dict(getattr(model, "__pydantic_fields__", {}))


def _nested_model(annotation: Any) -> Any:
    return next(_models_in(annotation), annotation)


def _models_in(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)
    ):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
