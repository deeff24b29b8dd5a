"""Why a record did not get over the boundary, in words of bounded length."""

from collections.abc import Collection, Iterable
from typing import Any

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.rows.fields import FieldSpec
from elspeth_dagster.rows.learned import Conflict

_SHOWN_CHARACTERS = 200
_DELIMITERS = (";", "\t", "|", ",")


def of_header(originals: Collection[str]) -> Reason:
    """What every reason says first where the header is one field that looks like several; else nothing."""
    header, *others = originals or [""]
    mark = max(_DELIMITERS, key=header.count)
    if others or mark not in header:
        return {}
    written = '"\\t"' if mark == "\t" else repr(mark)
    times = "once" if header.count(mark) == 1 else f"{header.count(mark)} times"
    return {"header": f"one field that holds {written} {times}; delimiter: {written} may be meant"}


def of_problem(text: str, header: Reason | None = None) -> Reason:
    """The reason of a record that could not be cut, from `Records.problems`."""
    kind, _, detail = text.partition(": ")
    if not detail:
        kind, detail = "unreadable", kind
    return {"reason": kind, **(header or {}), "error": detail}


def of_fields(errors: Iterable[Reason], header: Reason | None = None) -> Reason:
    """The reason of a record whose fields do not fit the schema."""
    return {"reason": "validation_failed", **(header or {}), "errors": list(errors)}


def of_conflicts(conflicts: Iterable[Conflict]) -> Reason:
    """The reason of a record whose undeclared fields are of other types than before."""
    errors = [
        {"field": _cut(c.field), "expected": f"{c.learned.value}, as in rows before", "found": shown(c.value)}
        for c in conflicts
    ]
    return {"reason": "type_conflict", "errors": errors}


def wrong_value(spec: FieldSpec, why: str) -> Reason:
    """One field that could not be coerced; `why` as `CoercionError` has it."""
    return {"field": spec.name, "expected": _expected(spec), "found": _cut(why.partition("found ")[2])}


def missing(spec: FieldSpec) -> Reason:
    """One required field that is not there."""
    return {"field": spec.name, "expected": _expected(spec), "found": "no such field"}


def undeclared(name: str) -> Reason:
    """One field that a fixed schema does not have."""
    return {"field": _cut(name), "expected": "only declared fields", "found": "an undeclared field"}


def shown(value: Any) -> str:
    """A value for people."""
    if isinstance(value, list | dict):
        return "an array" if isinstance(value, list) else "an object"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"text {_cut(value)!r}"
    if isinstance(value, int) and value.bit_length() > 64:
        return "an integer past 64 bits"
    return _cut(str(value))


def _expected(spec: FieldSpec) -> str:
    return spec.type.value if spec.required else f"{spec.type.value} or null"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
