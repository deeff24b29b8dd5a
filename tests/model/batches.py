"""Aggregations (settings reference, 5, as 10 changes it): when a batch fires, and what is made of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.nodes import RowError
from model.values import Row, canonical


@dataclass(frozen=True)
class Batch:
    """One firing.

    Attributes:
        members: Positions of the tokens that it takes.
        host: Position of the one that its outputs hang off.
        fired_us: When.
    """

    members: tuple[int, ...]
    host: int
    fired_us: int


def batches(trigger: Mapping[str, Any], arrivals_us: Sequence[int], end_us: int) -> list[Batch]:
    """Cuts tokens, given by the times of their arrival, into batches.

    A trigger is looked at when a token arrives: before it joins (but for the count), and after.
    """
    done: list[Batch] = []
    waiting: list[int] = []

    def fires(now_us: int, *, joined: bool) -> bool:
        if not waiting:
            return False
        age = (now_us - arrivals_us[waiting[0]]) / 1e6
        facts = {"batch_count": len(waiting), "batch_age_seconds": age}
        if joined and "count" in trigger and len(waiting) >= trigger["count"]:
            return True
        if "condition" in trigger and eval(trigger["condition"], {"__builtins__": {}, "row": facts}):
            return True
        return "timeout_seconds" in trigger and age >= trigger["timeout_seconds"]

    for position, now_us in enumerate(arrivals_us):
        if fires(now_us, joined=False):
            done.append(Batch(tuple(waiting), waiting[0], now_us))
            waiting = []
        waiting.append(position)
        if fires(now_us, joined=True):
            timed_out = not _on_arrival(trigger, len(waiting), (now_us - arrivals_us[waiting[0]]) / 1e6)
            done.append(Batch(tuple(waiting), waiting[0] if timed_out else position, now_us))
            waiting = []
    if waiting:
        done.append(Batch(tuple(waiting), waiting[0], end_us))
    return done


def _on_arrival(trigger: Mapping[str, Any], size: int, age: float) -> bool:
    """Whether it was the arriving token that fired the batch, rather than the time gone by."""
    if "count" in trigger and size >= trigger["count"]:
        return True
    facts = {"batch_count": size, "batch_age_seconds": age}
    return "condition" in trigger and bool(eval(trigger["condition"], {"__builtins__": {}, "row": facts}))


@dataclass
class Folded:
    """What is made of a batch: the rows that come out, and the members (by position) that do not go in."""

    rows: list[Row]
    refused: set[int]


def fold(plugin: str, options: Mapping[str, Any], rows: Sequence[Row]) -> Folded:
    """Applies a batch transform.

    Raises:
        RowError: The batch fails as a whole.
    """
    return {"batch_stats": _stats, "batch_replicate": _replicate}[plugin](options, rows)


def _stats(options: Mapping[str, Any], rows: Sequence[Row]) -> Folded:
    field, group_by = options["value_field"], options.get("group_by")
    groups: dict[str, list[int]] = {}
    refused = set()
    for position, row in enumerate(rows):
        if group_by is not None and group_by not in row:
            refused.add(position)
            continue
        key = "" if group_by is None else canonical(row[group_by])
        groups.setdefault(key, []).append(position)
    made = []
    for members in groups.values():
        numbers = [member for member in members if _is_number(rows[member].get(field))]
        refused |= set(members) - set(numbers)
        if not numbers:
            continue
        summary = _summary([rows[number][field] for number in numbers], len(members), options)
        if group_by is not None:
            summary[group_by] = rows[members[0]][group_by]
        made.append(summary)
    return Folded(made, refused)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _summary(values: Sequence[int | float], members: int, options: Mapping[str, Any]) -> Row:
    whole = all(isinstance(value, int) for value in values)
    total = sum(values) if whole else math.fsum(values)
    if not whole and not math.isfinite(total):
        raise RowError("overflow")
    row: Row = {"count": len(values), "sum": total, "batch_size": members}
    if options.get("compute_mean", True):
        row["mean"] = total / len(values)
    row["skipped_non_finite"] = 0
    return row


def _replicate(options: Mapping[str, Any], rows: Sequence[Row]) -> Folded:
    field = options.get("copies_field", "copies")
    made: list[Row] = []
    refused = set()
    for position, row in enumerate(rows):
        copies = row[field] if field in row else options.get("default_copies", 1)
        if type(copies) is not int or not 1 <= copies <= options.get("max_copies", 10_000):
            refused.add(position)
            continue
        counted = options.get("include_copy_index", True)
        made.extend({**row, "copy_index": index} if counted else dict(row) for index in range(copies))
    return Folded(made, refused)


def checked(node: Mapping[str, Any], folded: Folded, members: int) -> Folded:
    """Holds what came out against what the settings ask for.

    Raises:
        RowError: It is another number of rows.
    """
    expected = node.get("expected_output_count")
    if node.get("output_mode") == "passthrough":
        expected = members - len(folded.refused)
    if expected is not None and len(folded.rows) != expected:
        raise RowError(f"{len(folded.rows)} rows, not {expected}")
    return folded
