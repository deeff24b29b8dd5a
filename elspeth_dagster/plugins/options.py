"""A node's options as they stand in the settings, checked against its plugin's model."""

import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.plugins.base import Plugin
from elspeth_dagster.plugins.errors import BrokenPluginError, OptionPath, OptionProblem, OptionsError
from elspeth_dagster.plugins.files import SOURCE_HASH
from elspeth_dagster.plugins.kinds import PluginKind
from elspeth_dagster.rows.errors import SchemaError
from elspeth_dagster.rows.fields import OBSERVED, Schema, parse_schema
from elspeth_dagster.settings.errors import did_you_mean

SCHEMA = "schema"
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Found:
    """A plugin's class and where it comes from."""

    name: str
    kind: PluginKind
    origin: str
    plugin: type[Plugin]

    def code_hash(self) -> str:
        """SHA-256 of the source of the plugin's module, hexadecimal."""
        module = sys.modules[self.plugin.__module__]
        digest: str | None = getattr(module, SOURCE_HASH, None)
        if digest is None:
            digest = hashlib.sha256(Path(inspect.getfile(self.plugin)).read_bytes()).hexdigest()
        return digest


@dataclass(frozen=True)
class Configured:
    """A plugin with valid options, ready to be made.

    Attributes:
        found: The plugin.
        options: Its options' model.
        schema: The node's schema block.
    """

    found: Found
    options: BaseModel
    schema: Schema

    def create(self) -> Plugin:
        """Makes a new instance."""
        return self.found.plugin(self.options, self.schema)


def configure(found: Found, options: Mapping[str, Any]) -> Configured:
    """Checks options and the schema block among them.

    Raises:
        OptionsError: Something in them is wrong; holds every such thing.
        BrokenPluginError: The plugin cannot be made for a reason of its own.
    """
    problems: list[OptionProblem] = []
    schema = _schema(options, problems)
    rest = {key: value for key, value in options.items() if key != SCHEMA}
    try:
        model = found.plugin.Options.model_validate(rest)
    except ValidationError as error:
        problems.extend(_problems(error, rest, found.plugin.Options))
        raise OptionsError(found.name, problems) from None
    if problems:
        raise OptionsError(found.name, problems)
    configured = Configured(found, model, schema)
    _try_out(configured)
    return configured


def _try_out(configured: Configured) -> None:
    """Makes an instance, since a plugin may check its options against each other when it is made."""
    found = configured.found
    try:
        configured.create()
    except ElspethError as error:
        key = getattr(error, "key", None)
        path: OptionPath = (key,) if isinstance(key, str) else ()
        message = str(error).removeprefix(f"{key}: ")
        raise OptionsError(found.name, [OptionProblem(path, message)]) from error
    except Exception as error:
        reason = f"{type(error).__name__} when it was made: {error}"
        raise BrokenPluginError(found.name, found.origin, reason) from error


def _schema(options: Mapping[str, Any], problems: list[OptionProblem]) -> Schema:
    if SCHEMA not in options:
        return OBSERVED
    try:
        return parse_schema(options[SCHEMA])
    except SchemaError as error:
        problems.append(OptionProblem((SCHEMA, *error.path), error.message))
        return OBSERVED


def _problems(
    error: ValidationError, options: Mapping[str, Any], model: type[BaseModel]
) -> Iterator[OptionProblem]:
    """One problem per place; of the members of a union, those that got furthest into the value have a say."""
    grouped: dict[OptionPath, list[str]] = {}
    for details in error.errors(include_url=False):
        path, message = _problem(details, options, model)
        grouped.setdefault(path, []).append(message)
    for path, messages in grouped.items():
        if any(len(other) > len(path) and other[: len(path)] == path for other in grouped if path):
            continue
        yield OptionProblem(path, "; or ".join(dict.fromkeys(messages)))


def _problem(
    details: ErrorDetails, options: Mapping[str, Any], model: type[BaseModel]
) -> tuple[OptionPath, str]:
    path = _document_path(details, options, model)
    if details["type"] == "extra_forbidden":
        known = (SCHEMA, *option_names(model))
        name = str(path[-1])
        if len(path) > 1:
            return path, "unknown key"
        return path, f"unknown option; accepted: {', '.join(known)}{did_you_mean(name, known)}"
    if details["type"] == "missing":
        return path[:-1], f"the option '{path[-1]}' is required"
    message = details["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return path, message + _found(details)


def _document_path(details: ErrorDetails, options: Mapping[str, Any], model: type[BaseModel]) -> OptionPath:
    """The keys of a location as they are in the document; pydantic puts names of union members among them."""
    names = {field.alias: name for name, field in model.model_fields.items() if field.alias}
    value: Any = options
    path: list[str | int] = []
    for element in details["loc"]:
        key = element
        if not path and key not in options:
            key = names.get(str(key), key)
        if _holds(value, key):
            value = value[key]
            path.append(key)
    if details["type"] == "missing":
        path.append(details["loc"][-1])
    return tuple(path)


def _holds(value: Any, key: str | int) -> bool:
    if isinstance(value, Mapping):
        return key in value
    return isinstance(value, list) and isinstance(key, int) and key < len(value)


def _found(details: ErrorDetails) -> str:
    if details["type"] in {"value_error", "assertion_error"}:
        return ""
    text = repr(details["input"])
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    return f", found {shown}"


def option_names(model: type[BaseModel]) -> tuple[str, ...]:
    """The options of a model, as they are written in a settings file."""
    return tuple(field.alias or name for name, field in model.model_fields.items())
