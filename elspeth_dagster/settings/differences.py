"""What has changed in settings since they were recorded, as far as it forbids to go on with a run."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from elspeth_dagster.settings.locations import KeyPath, key_path_text
from elspeth_dagster.settings.secrets import (
    FINGERPRINT_PREFIX,
    FINGERPRINT_SUFFIX,
    HIDDEN,
    without_url_passwords,
)
from elspeth_dagster.settings.sections import NODE_LISTS
from elspeth_dagster.settings.stored import KEY_ORDER

_FINGERPRINT = re.compile("[0-9a-f]{64}")
_HIDDEN_PASSWORD = re.compile(re.escape(f":{HIDDEN}@"))
_ABSENT = object()
_LONGEST_SHOWN = 80


def settings_differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Compare two stored settings in what a run depends on: source, nodes and sinks.

    The order of nodes, and secrets' values, make no difference; neither do the sections about running.

    Args:
        was: The stored settings of a run's first attempt.
        now: The stored settings of the file as it is.

    Returns:
        One line for each difference, with key, earlier and present value; empty when there is none.
    """
    return [*_compared(_nodes(was), _nodes(now), ()), *_reordered(was, now)]


def _nodes(stored: Mapping[str, Any]) -> dict[str, Any]:
    by_name = {section: {node["name"]: node for node in stored.get(section, [])} for section in NODE_LISTS}
    return {"source": stored.get("source"), **by_name, "sinks": stored.get("sinks", {})}


def _compared(was: Any, now: Any, path: KeyPath) -> Iterator[str]:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        earlier, present = _comparable(was), _comparable(now)
        for key in [*earlier, *(key for key in present if key not in earlier)]:
            yield from _compared(earlier.get(key, _ABSENT), present.get(key, _ABSENT), (*path, key))
    elif not _same(_without_secret(was), _without_secret(now)):
        yield f"{key_path_text(path)}: was {_shown(was)}, is {_shown(now)}"


def _comparable(mapping: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in mapping.items():
        if key.endswith(FINGERPRINT_SUFFIX) and isinstance(value, str) and _FINGERPRINT.fullmatch(value):
            result[key.removesuffix(FINGERPRINT_SUFFIX)] = HIDDEN
        else:
            result[key] = value
    return result


def _without_secret(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_secret(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _without_secret(item) for key, item in _comparable(value).items()}
    if not isinstance(value, str):
        return value
    if value.startswith(FINGERPRINT_PREFIX):
        return HIDDEN
    return _HIDDEN_PASSWORD.sub("@", without_url_passwords(value))


def _same(was: Any, now: Any) -> bool:
    if isinstance(was, bool) or isinstance(now, bool):
        return was is now
    if isinstance(was, list) and isinstance(now, list):
        return len(was) == len(now) and all(map(_same, was, now))
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        return was.keys() == now.keys() and all(_same(was[key], now[key]) for key in was)
    return bool(was == now)


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    if value == HIDDEN:
        return "a secret"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _reordered(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    earlier, present = was.get(KEY_ORDER, {}), now.get(KEY_ORDER, {})
    for place in earlier:
        keys, keys_now = earlier[place], present.get(place, [])
        if keys != keys_now and sorted(keys) == sorted(keys_now):
            yield f"{place}: the order of its keys was {', '.join(keys)}, is {', '.join(keys_now)}"
