"""Rows handed to a user's transform and taken back: one by one, or as a pandas frame."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from elspeth_dagster.plugins.base import (
    NOTHING_TO_EXPAND,
    Expanded,
    ExpandingRowTransform,
    FrameResult,
    PluginError,
    Reason,
    RowError,
    RowTransform,
    Transform,
    Transformed,
    in_one_piece,
)
from elspeth_dagster.plugins.frames import FrameError, from_frame, in_order, rejections, to_frame
from elspeth_dagster.plugins.retry import Retry
from elspeth_dagster.plugins.transforms.common import keep_mask, kept
from elspeth_dagster.rows.errors import InvalidValueError
from elspeth_dagster.rows.fields import OBSERVED, Schema
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.values import check_value

Calls = Callable[[Callable[[int], Any], range], Iterable[Any]]
"""Calls a function with the position of each row, in any order, and gives the results in that of the rows."""


def apply_retrying(plugin: Transform, rows: Rows, retry: Retry, calls: Calls = map) -> Transformed:
    """Has a transform work on some rows, and try again what failed and may pass.

    What takes its rows one by one is tried again with the row that failed, all else with all rows.

    Args:
        plugin: The transform.
        rows: The rows.
        retry: How it is tried again.
        calls: Makes the calls; one that stands for all rows is made with the position 0 alone.

    Raises:
        PluginError: The plugin raised something else.
    """
    if isinstance(plugin, RowTransform):
        return apply_row_by_row(plugin.process, rows, retry, calls)
    if isinstance(plugin, ExpandingRowTransform):
        return in_one_piece(expand_row_by_row(plugin.process, rows, retry, calls))
    done: Transformed | RowError
    ((done, failed),) = calls(lambda _position: retry.call(lambda: plugin.apply(rows)), range(1))
    everyone = range(rows.num_rows)
    tries = dict.fromkeys(everyone, failed) if failed else {}
    if isinstance(done, RowError):
        reason = row_error_reason(done, None)
        return Transformed(rows.slice(0, 0), dict.fromkeys(everyone, reason), tries)
    return replace(done, tries=tries) if tries else done


def apply_row_by_row(
    process: Callable[[dict[str, Any]], Any], rows: Rows, retry: Retry | None = None, calls: Calls = map
) -> Transformed:
    """Calls `process` with each row as a mapping of its own, which it may change.

    Raises:
        PluginError: `process` raised, or returned something else than a mapping or a `RowError`.
    """
    done: list[Mapping[str, Any]] = []
    errors: dict[int, Reason] = {}
    tries: dict[int, tuple[str, ...]] = {}
    call = partial(_process, process, rows, rows.to_dicts(), retry)
    for position, (result, failed) in enumerate(calls(call, range(rows.num_rows))):
        token = rows.tokens[position].as_py()
        if failed:
            tries[position] = failed
        if isinstance(result, RowError):
            errors[position] = row_error_reason(result, token)
            continue
        if not isinstance(result, Mapping):
            wrong = TypeError(f"process returned {type(result).__name__}; it returns a dict or a RowError")
            raise PluginError(wrong, token=token)
        invalid = invalid_field(result)
        if invalid is None:
            done.append(result)
        else:
            errors[position] = invalid
    tokens = rows.tokens.filter(keep_mask(rows.num_rows, errors))
    names = {name for row in done for name in row}
    originals = {name: header for name, header in rows.originals.items() if name in names}
    return Transformed(Rows.from_dicts(tokens, done, originals), errors, tries)


def _process(
    process: Callable[[dict[str, Any]], Any],
    rows: Rows,
    dicts: Sequence[dict[str, Any]],
    retry: Retry | None,
    position: int,
) -> tuple[Any, tuple[str, ...]]:
    """What `process` gives for a row, and what went wrong in tries before the last one."""
    row = dicts[position]
    try:
        if retry is None:
            return process(row), ()
        copies = _copies(rows, position, row)
        return retry.call(lambda: process(next(copies)))
    except Exception as error:
        raise PluginError(error, token=rows.tokens[position].as_py()) from error


def _copies(rows: Rows, position: int, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A row, and then that row afresh, since a failed try may have changed it."""
    yield row
    while True:
        yield rows.slice(position, 1).to_dicts()[0]


_PIECE_ROWS = 50_000


def expand_row_by_row(
    process: Callable[[dict[str, Any]], Any], rows: Rows, retry: Retry | None = None, calls: Calls = map
) -> Iterator[Expanded]:
    """Calls `process` with each row as a mapping of its own, which it may change.

    Raises:
        PluginError: `process` raised, or returned something else than a list of mappings or a `RowError`.
    """
    done: list[Mapping[str, Any]] = []
    parents: list[int] = []
    errors: dict[int, Reason] = {}
    tries: dict[int, tuple[str, ...]] = {}
    call = partial(_process, process, rows, rows.to_dicts(), retry)
    for position, (result, failed) in enumerate(calls(call, range(rows.num_rows))):
        token = rows.tokens[position].as_py()
        if failed:
            tries[position] = failed
        if isinstance(result, RowError):
            errors[position] = row_error_reason(result, token)
            continue
        children = _children(result, token)
        invalid = next((reason for reason in map(invalid_field, children) if reason is not None), None)
        if not children or invalid is not None:
            errors[position] = invalid or dict(NOTHING_TO_EXPAND)
            continue
        done.extend(children)
        parents.extend([position] * len(children))
        if len(done) >= _PIECE_ROWS:
            yield replace(_expanded(rows, done, parents, errors), tries=tries)
            done, parents, errors, tries = [], [], {}, {}
    yield replace(_expanded(rows, done, parents, errors), tries=tries)


def _children(result: Any, token: bytes | None) -> list[Mapping[str, Any]]:
    if not isinstance(result, list | tuple) or not all(isinstance(item, Mapping) for item in result):
        found = type(result).__name__
        wrong = TypeError(f"process returned {found}; it returns a list of dicts or a RowError")
        raise PluginError(wrong, token=token)
    return list(result)


def _expanded(
    rows: Rows, done: Sequence[Mapping[str, Any]], parents: list[int], errors: Mapping[int, Reason]
) -> Expanded:
    places = pa.array(parents, pa.int64())
    names = {name for row in done for name in row}
    originals = {name: header for name, header in rows.originals.items() if name in names}
    return Expanded(Rows.from_dicts(rows.tokens.take(places), done, originals), errors, parents=places)


def row_error_reason(error: RowError, token: bytes | None) -> Reason:
    """The reason that a `RowError` gives, made sure to be storable.

    Raises:
        PluginError: Its details are no JSON values.
    """
    reason: Reason = {**error.details, "reason": error.reason}
    try:
        check_value(reason)
    except InvalidValueError as invalid:
        raise PluginError(TypeError(f"the details of a RowError: {invalid.reason}"), token=token) from invalid
    return reason


def invalid_field(row: Mapping[str, Any]) -> Reason | None:
    """The reason why a row cannot be held, or `None` when it can."""
    for name, value in row.items():
        try:
            check_value({name: value})
        except InvalidValueError as error:
            shown = name if isinstance(name, str) and name.isprintable() else repr(name)
            return {"reason": "invalid_value", "field": shown, "error": error.reason}
    return None


def apply_frame(process: Callable[[Any], Any], rows: Rows, schema: Schema = OBSERVED) -> Transformed:
    """Calls `process` with the rows as a frame.

    Args:
        process: Takes the frame, gives a `FrameResult`.
        rows: The rows.
        schema: The node's schema; its fields are columns of the frame whatever the rows have.

    Raises:
        PluginError: `process` raised, or what it returned does not say which row is which.
    """
    token = rows.tokens[0].as_py() if rows.num_rows == 1 else None
    frame = to_frame(rows, schema)
    known = [str(name) for name in frame.columns]
    try:
        result = process(frame)
    except Exception as error:
        raise PluginError(error, token=token) from error
    if not isinstance(result, FrameResult):
        wrong = TypeError(f"process returned {type(result).__name__}; it returns a FrameResult")
        raise PluginError(wrong, token=token)
    try:
        rejected = rejections(result, rows.num_rows)
        positions = np.array([p for p in range(rows.num_rows) if p not in rejected], np.int64)
        accepted = rows.take(pa.array(positions)) if rejected else rows
        taken = from_frame(in_order(result.frame, positions, rows.num_rows), accepted, known)
    except FrameError as error:
        raise PluginError(error, token=token) from error
    invalid = {int(positions[place]): reason for place, reason in taken.errors.items()}
    return Transformed(kept(taken.rows, taken.errors), {**rejected, **invalid})
