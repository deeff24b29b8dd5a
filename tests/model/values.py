"""What a row can hold, and its canonical form, said once more and plainly."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import rfc8785

Row = dict[str, Any]
MOST_DIGITS = 4300
DEEPEST = 200
_MARKER = "$elspeth"


def can_be_held(value: Any, depth: int = 0) -> bool:  # noqa: PLR0911 - one for each kind
    """No number that is not finite, no lone surrogate, no endless integer, no bottomless nesting."""
    if isinstance(value, str):
        return not any(0xD800 <= ord(character) <= 0xDFFF for character in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return -(10**MOST_DIGITS) < value < 10**MOST_DIGITS
    if isinstance(value, list):
        return depth < DEEPEST and all(can_be_held(item, depth + 1) for item in value)
    if isinstance(value, dict):
        inner = depth + (3 if _MARKER in value else 1)
        if inner > DEEPEST:
            return False
        return all(can_be_held(key) and can_be_held(item, inner) for key, item in value.items())
    return True


def salvaged(value: Any) -> Any:
    """What can be shown of a value that no row holds: null for its numbers, U+FFFD for its surrogates."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [salvaged(item) for item in value]
    if isinstance(value, dict):
        return {salvaged(key): salvaged(item) for key, item in value.items()}
    return value


def canonical(value: Any) -> str:
    """RFC 8785, integers of any size, and objects with the marker wrapped."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        text = "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"
        return f'{{"{_MARKER}":["object",{text}]}}' if _MARKER in value else text
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53 - 1:
        return str(value)
    return rfc8785.dumps(value).decode()


def row_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the row's canonical form."""
    return hashlib.sha256(canonical(dict(row)).encode()).hexdigest()


def json_text(value: Any) -> str:
    return json.dumps(value)


def cell_text(value: Any) -> str:
    """A CSV cell before quoting."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return json_text(value)
    return str(value)
