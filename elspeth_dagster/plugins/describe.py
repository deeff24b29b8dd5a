"""What `elspeth plugins` shows: every plugin with its options."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import PydanticUndefined

from elspeth_dagster.plugins.batch import BatchPlugin
from elspeth_dagster.plugins.errors import BrokenPluginError
from elspeth_dagster.plugins.kinds import Candidate, PluginKind, kind_of
from elspeth_dagster.plugins.options import SCHEMA
from elspeth_dagster.settings.names import SOURCE_WITHOUT_OPTIONS

_AGGREGATION = "aggregation"
_ORDER = (PluginKind.SOURCE.value, PluginKind.TRANSFORM.value, _AGGREGATION, PluginKind.SINK.value)


@dataclass(frozen=True)
class OptionDescription:
    """An option of a plugin.

    Attributes:
        name: As it is written in a settings file.
        type: For people.
        required: Whether it must be given.
        default: What it is otherwise, as JSON has it.
        description: What it does.
    """

    name: str
    type: str
    required: bool
    default: Any
    description: str


@dataclass(frozen=True)
class PluginDescription:
    """A plugin.

    Attributes:
        kind: What it stands behind: `source`, `transform`, `aggregation` or `sink`; empty when it cannot be
            loaded.
        name: As a settings file names it.
        origin: Where it comes from.
        summary: The first line of its docstring.
        options: Its options.
        error: Why it cannot be used, or empty.
    """

    kind: str
    name: str
    origin: str
    summary: str
    options: tuple[OptionDescription, ...]
    error: str = ""


def describe(candidates: Iterable[Candidate]) -> list[PluginDescription]:
    """Every plugin, by kind and name; those that cannot be loaded are last."""
    described = [_described(candidate) for candidate in candidates]
    order = {kind: index for index, kind in enumerate(_ORDER)}
    return sorted(
        described, key=lambda plugin: (order.get(plugin.kind, len(order)), plugin.name, plugin.origin)
    )


def _described(candidate: Candidate) -> PluginDescription:
    name, origin = candidate.name, candidate.origin
    try:
        plugin = candidate.load()
    except BrokenPluginError as error:
        return PluginDescription("", name, origin, "", (), error.reason)
    kind = _AGGREGATION if issubclass(plugin, BatchPlugin) else kind_of(plugin).value
    summary = (inspect.getdoc(plugin) or "").partition("\n")[0]
    return PluginDescription(kind, name, origin, summary, tuple(_options(kind, name, plugin.Options)))


def _options(kind: str, plugin: str, model: type[BaseModel]) -> Iterator[OptionDescription]:
    yield OptionDescription(
        SCHEMA, "mapping", required=False, default={"mode": "observed"}, description=_SCHEMA
    )
    if kind == PluginKind.SOURCE.value:
        required = plugin != SOURCE_WITHOUT_OPTIONS
        yield OptionDescription(
            "on_validation_failure", "text", required=required, default=None, description=_FAILURE
        )
    schema = _json_schema(model)
    for name, field in model.model_fields.items():
        key = field.alias or name
        default = field.get_default(call_default_factory=True)
        yield OptionDescription(
            key,
            _type_text(schema.get("properties", {}).get(key, {}), schema.get("$defs", {})),
            field.is_required(),
            None if default is PydanticUndefined else _plain(default),
            field.description or "",
        )


_SCHEMA = "Declared fields, and how strictly they are meant."
_FAILURE = "Sink that takes rows that are not valid, or 'discard'."
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "nothing",
    "object": "mapping",
    "array": "list",
}


def _json_schema(model: type[BaseModel]) -> dict[str, Any]:
    try:
        return model.model_json_schema(mode="validation")
    except PydanticInvalidForJsonSchema:  # a type of the plugin's own
        return {"properties": {}}


def _type_text(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """The type of a JSON schema in words."""
    if "$ref" in schema:
        return _type_text(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            texts = dict.fromkeys(_type_text(part, definitions) for part in schema[key])
            return " | ".join(text for text in texts if text != _TYPES["null"])
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return f"list of {_type_text(schema['items'], definitions)}"
    return _TYPES.get(str(schema.get("type")), "any")


def _plain(value: Any) -> Any:
    """A default as JSON has it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    plain = getattr(value, "value", value)
    return plain if plain is None or isinstance(plain, bool | int | float | str) else str(plain)
