"""What can be shown of JSON that no row can hold."""

import json
import math
from typing import Any, NoReturn

from elspeth_dagster.rows.errors import InvalidValueError
from elspeth_dagster.rows.values import check_value


def salvage_json(data: bytes) -> Any:
    """The value of a JSON text, null for each number and U+FFFD for each surrogate that no row can hold.

    Raises:
        InvalidValueError: It is no JSON at all, or nested too deeply.
    """
    try:
        value = _held(json.loads(data.decode(), parse_constant=_refuse, parse_int=_integer))
        check_value(value)
    except UnicodeDecodeError as error:
        raise InvalidValueError(f"not UTF-8: {error.reason}") from None
    except json.JSONDecodeError as error:
        raise InvalidValueError(f"not JSON: {error}") from None
    except RecursionError:
        raise InvalidValueError("nested too deeply") from None
    return value


def _refuse(name: str) -> NoReturn:
    raise InvalidValueError(f"not JSON: {name}")


def _integer(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:  # the interpreter's own limit, which is that of our rows
        return None


def _held(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_held(item) for item in value]
    if isinstance(value, dict):
        return {_held(key): _held(item) for key, item in value.items()}
    return value
