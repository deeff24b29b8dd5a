"""`ELSPETH_<SECTION>__<KEY>`: environment variables that override the file."""

from collections.abc import Mapping
from typing import Any

from elspeth_dagster.settings.composer import MAX_DEPTH
from elspeth_dagster.settings.findings import Findings
from elspeth_dagster.settings.locations import KeyPath, folded
from elspeth_dagster.settings.scalars import guessed_value
from elspeth_dagster.settings.sections import TOP_LEVEL

PREFIX = "ELSPETH_"
SEPARATOR = "__"


def apply_overrides(data: dict[str, Any], environ: Mapping[str, str], findings: Findings) -> dict[str, Any]:
    """Merge overriding environment variables into the document.

    A variable whose first part is no section of the file is not one of these, and is left alone. Parts match
    keys without regard to case; a number picks an entry of a list.
    """
    for variable in sorted(environ):
        keys = _keys(variable)
        if keys is None:
            continue
        if len(keys) > MAX_DEPTH:
            findings.error((keys[0],), f"the environment variable {variable[:80]}… goes too deep")
            continue
        data = _overridden(data, keys, (), guessed_value(environ[variable]), variable, findings)
    return data


def _keys(variable: str) -> list[str] | None:
    if not variable.startswith(PREFIX) or SEPARATOR not in variable:
        return None
    keys = variable.removeprefix(PREFIX).lower().split(SEPARATOR)
    return keys if keys[0] in TOP_LEVEL and all(keys) else None


def _overridden(
    value: Any, keys: list[str], path: KeyPath, override: Any, variable: str, findings: Findings
) -> Any:
    if not keys:
        findings.locations.variables[folded(path)] = variable
        return _merged(value, override)
    if isinstance(value, list):
        return _overridden_item(value, keys, path, override, variable, findings)
    mapping = value if isinstance(value, dict) else {}
    key = _matching_key(mapping, keys[0])
    changed = _overridden(mapping.get(key), keys[1:], (*path, key), override, variable, findings)
    return {**mapping, key: changed}


def _overridden_item(
    items: list[Any], keys: list[str], path: KeyPath, override: Any, variable: str, findings: Findings
) -> list[Any]:
    index = int(keys[0]) if keys[0].isascii() and keys[0].isdigit() and len(keys[0]) < 6 else len(items)
    if index >= len(items):
        accepted = f"a number from 0 to {len(items) - 1}" if items else "nothing, since the list is empty"
        message = f"the environment variable {variable} picks entry '{keys[0]}'; accepted: {accepted}"
        findings.error(path, message)
        return items
    changed = _overridden(items[index], keys[1:], (*path, index), override, variable, findings)
    return [*items[:index], changed, *items[index + 1 :]]


def _matching_key(mapping: dict[str, Any], wanted: str) -> str:
    if wanted in mapping:
        return wanted
    alike = [key for key in mapping if key.lower() == wanted]
    return alike[0] if len(alike) == 1 else wanted


def _merged(value: Any, override: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(override, dict):
        return override
    return {**value, **{key: _merged(value.get(key), change) for key, change in override.items()}}
