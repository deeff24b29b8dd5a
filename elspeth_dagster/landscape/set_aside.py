"""Why rows of a run were set aside, most frequent reasons first."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson
import pyarrow as pa

from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.model import FAILED_TRY
from elspeth_dagster.rows.tokens import row_indices

_TABLES = {"errors": ["row", "node", "kind", "reason"], "refusals": ["token", "node", "reason"]}
_LOOKED_AT = 100_000
_EXAMPLES = 3


@dataclass(frozen=True)
class ReasonCount:
    """One reason at one node.

    Attributes:
        node: Where.
        reason: The reason's word, with the fields that it is about.
        count: How often.
        rows: The first rows that it was given for.
    """

    node: str
    reason: str
    count: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class SetAside:
    """The reasons of a run, the most frequent first.

    Attributes:
        reasons: As many as were asked for.
        others: How many rows were given other reasons than these.
        other_reasons: How many those are.
        complete: Whether every row that was set aside has been looked at.
    """

    reasons: tuple[ReasonCount, ...]
    others: int
    other_reasons: int
    complete: bool


def set_aside(landscape: Landscape, run_id: str, *, most: int = 10) -> SetAside:
    """Counts why rows did not fit, failed, or were refused, over the first 100,000 of them.

    Raises:
        DamagedRecordError: A recorded file is not what was committed.
    """
    counted: Counter[tuple[str, str]] = Counter()
    firsts: dict[tuple[str, str], list[int]] = {}
    told = _told(landscape, run_id)
    for row, node, reason in islice(told, _LOOKED_AT):
        key = (node, _word(reason))
        counted[key] += 1
        if counted[key] <= _EXAMPLES:
            firsts.setdefault(key, []).append(row)
    complete = next(told, None) is None
    ordered = sorted(counted, key=lambda key: (-counted[key], key))
    reasons = [ReasonCount(*key, counted[key], tuple(firsts[key])) for key in ordered[:most]]
    others = ordered[most:]
    return SetAside(tuple(reasons), sum(counted[key] for key in others), len(others), complete)


def _told(landscape: Landscape, run_id: str) -> Iterator[tuple[int, str, str]]:
    """Row, node and reason of each; notices about a file, and tries that others followed, are left out."""
    for name, columns in _TABLES.items():
        for segment in reads.segments_of(landscape, run_id, table=name):
            found = reads.read_segment(landscape, segment, columns)
            rows = found["row"] if "row" in columns else row_indices(_whole(found["token"]))
            kinds = found["kind"].to_pylist() if "kind" in columns else [None] * found.num_rows
            nodes, reasons = found["node"].to_pylist(), found["reason"].to_pylist()
            for row, node, kind, reason in zip(rows.to_pylist(), nodes, kinds, reasons, strict=True):
                if row is not None and kind != FAILED_TRY:
                    yield row, node, reason


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks().cast(pa.binary())


def _word(reason: str) -> str:
    """What reasons have in common that differ in the values of the row alone."""
    told: Any = orjson.loads(reason)
    if not isinstance(told, Mapping):
        return str(told)
    about = [told, *(error for error in told.get("errors", ()) if isinstance(error, Mapping))]
    fields = [_field(facts) for facts in about if "field" in facts]
    word = str(told.get("reason", "no reason given"))
    if "header" in told:
        return f"{word}: the header is {told['header']}"
    return f"{word}: {', '.join(fields)}" if fields else word


def _field(facts: Mapping[str, Any]) -> str:
    expected = f" (expected: {facts['expected']})" if "expected" in facts else ""
    return f"{facts['field']}{expected}"
