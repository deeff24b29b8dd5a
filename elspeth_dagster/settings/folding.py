"""Keys without regard to case: section 1.1 of the format, `Source:` is `source:`."""

from typing import Any

from elspeth_dagster.settings.findings import Findings
from elspeth_dagster.settings.locations import KeyPath

_VERBATIM_BELOW = frozenset({"options", "routes", "branches", "provider_config"})
_VERBATIM_PATHS = frozenset({("secrets", "mapping"), ("dagster", "tags")})


def fold_keys(data: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """Give the document with lower-case keys, except below `options`, `routes`, `branches` and their like.

    A sink's name is lowered only when it is all upper case; mixed case is left for the check of names.
    Two keys that are one after that are a problem; the first is kept.
    """
    return _fold_mapping(data, (), findings)


def _fold(value: Any, path: KeyPath, findings: Findings) -> Any:
    if isinstance(value, list):
        return [_fold(item, (*path, index), findings) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return _fold_mapping(value, path, findings)
    return value


def _fold_mapping(mapping: dict[str, Any], path: KeyPath, findings: Findings) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in mapping.items():
        name = _folded_key(key, path)
        place = (*path, name)
        if name in result:
            findings.error((*path, key), f"the key is given twice: {name!r} in another case is the same key")
        elif name in _VERBATIM_BELOW or place in _VERBATIM_PATHS:
            result[name] = value
        else:
            result[name] = _fold(value, place, findings)
    return result


def _folded_key(key: str, path: KeyPath) -> str:
    return key if path == ("sinks",) and not key.isupper() else key.lower()
