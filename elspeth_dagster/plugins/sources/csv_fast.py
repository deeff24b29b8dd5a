"""CSV cut a block at a time; it gives what `csv_exact.py` gives.

The places of quotes, delimiters and line ends are found with numpy. As long as every quote that opens stands
at the start of a cell and every one that closes stands at the end of one (or is doubled), the quotes so far
tell by their parity whether a place is inside a quoted cell. Where that rule is broken, the quotes (not the
bytes) are gone through one by one to find those that open and close. Cells are then cut by Arrow's parser,
which sees quotes as the exact cutter does once it is known where the records end.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from elspeth_dagster.plugins.sources.csv_exact import Dialect

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_LF, _CR, _QUOTE = 10, 13, 34
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, eq=False)
class Structure:
    """The records at the beginning of a buffer; blank lines are among them.

    Attributes:
        starts: Where each record starts.
        content_ends: Where its line end starts.
        ends: Where the next one starts.
        cell_counts: How many cells it has (a blank line: 1).
        lines_ended: Physical lines that end up to and including its end.
    """

    starts: Ints
    content_ends: Ints
    ends: Ints
    cell_counts: Ints
    lines_ended: Ints

    @property
    def consumed(self) -> int:
        """Bytes of the buffer that the records take."""
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def blank(self) -> Flags:
        """Which of them are blank lines."""
        return np.equal(self.content_ends, self.starts)


def find_structure(buffer: bytes, dialect: Dialect, *, last: bool) -> Structure:
    """The records that are whole in `buffer`, up to one that is longer than the dialect's limits.

    Args:
        buffer: Some of the input, from the start of a record.
        dialect: Its delimiter must be one byte.
        last: Nothing comes behind the buffer.
    """
    open_ended = last and not buffer.endswith((b"\n", b"\r"))
    text = np.frombuffer(buffer + b"\n" if open_ended else buffer, np.uint8)
    places, inside = _places(text, buffer, dialect.delimiter[0], last)
    values = text[places]
    line_end = (values == _LF) | (values == _CR)
    outside = ~inside & (values != _QUOTE)
    separators = np.flatnonzero(outside)
    closing = np.flatnonzero(line_end[separators])
    at = separators[closing]
    terminators = places[at]
    content_ends = terminators - _has_cr_before(text, terminators, values[at])
    ends = np.minimum(terminators + 1, len(buffer))
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(ends)]
    counts = np.diff(closing, prepend=-1)
    lines = np.cumsum(line_end)[at]
    found = Structure(starts, content_ends, ends, counts, lines)
    return _within_limits(found, len(buffer), dialect)


def _places(text: npt.NDArray[np.uint8], buffer: bytes, delimiter: int, last: bool) -> tuple[Ints, Flags]:
    """Where delimiters, line ends and quotes stand, and which of them are inside a quoted cell."""
    mask = (text == delimiter) | (text == _LF)
    quotes, returns = b'"' in buffer, b"\r" in buffer
    if quotes:
        mask |= text == _QUOTE
    if returns:
        mask |= _lone_returns(text, last)
    places = np.flatnonzero(mask)
    if not quotes:
        return places, np.zeros(len(places), np.bool_)
    turns = text[places] == _QUOTE
    if not _regular(text, places[turns], delimiter):
        at = np.flatnonzero(turns)
        turns = np.zeros(len(places), np.bool_)
        turns[at[_opening_and_closing(text, places[at], delimiter)]] = True
    return places, (np.cumsum(turns) & 1).astype(np.bool_)


def _lone_returns(text: npt.NDArray[np.uint8], last: bool) -> Flags:
    """CRs that end a line by themselves; one at the end of the buffer may yet become a CRLF."""
    lone: Flags = np.equal(text, _CR)
    lone[:-1] &= text[1:] != _LF
    if not last:
        lone[-1] = False
    return lone


def _regular(text: npt.NDArray[np.uint8], quotes: Ints, delimiter: int) -> bool:
    """Whether each quote opens at the start of a cell, closes at the end of one, or is doubled."""
    neighbour_ok = np.zeros(256, np.bool_)
    neighbour_ok[[delimiter, _LF, _CR, _QUOTE]] = True
    opening, closing = quotes[0::2], quotes[1::2]
    if not (neighbour_ok[text[opening - 1]] | (opening == 0)).all():
        return False
    following = np.minimum(closing + 1, len(text) - 1)
    return bool((neighbour_ok[text[following]] | (closing == len(text) - 1)).all())


def _opening_and_closing(text: npt.NDArray[np.uint8], quotes: Ints, delimiter: int) -> list[int]:
    """Which quotes open and close cells, in turn; the others are doubled ones and plain text."""
    before_cell = np.zeros(256, np.bool_)
    before_cell[[delimiter, _LF, _CR]] = True
    at_start = (before_cell[text[quotes - 1]] | (quotes == 0)).tolist()
    next_to_next = (np.diff(quotes, append=-1) == 1).tolist()
    chosen = []
    inside, at = False, 0
    while at < len(at_start):
        if inside and next_to_next[at]:
            at += 2
            continue
        if inside or at_start[at]:
            chosen.append(at)
            inside = not inside
        at += 1
    return chosen


def _has_cr_before(text: npt.NDArray[np.uint8], terminators: Ints, values: npt.NDArray[np.uint8]) -> Any:
    return ((values == _LF) & (terminators > 0) & (text[terminators - 1] == _CR)).astype(np.int64)


def _within_limits(found: Structure, size: int, dialect: Dialect) -> Structure:
    limit = min(dialect.max_quoted_bytes, dialect.max_record_bytes)
    if size <= limit:
        return found
    over = np.flatnonzero(found.content_ends - found.starts > limit)
    if not len(over):
        return found
    keep = int(over[0])
    return Structure(
        found.starts[:keep],
        found.content_ends[:keep],
        found.ends[:keep],
        found.cell_counts[:keep],
        found.lines_ended[:keep],
    )


def parse_columns(
    buffer: bytes, found: Structure, good: Flags, width: int, dialect: Dialect
) -> list[pa.Array]:
    """The cells of some records, a string array per column.

    Args:
        buffer: What `found` was found in.
        found: Its records.
        good: Which of them to parse: all have `width` cells and are UTF-8, and none is a blank line.
        width: Number of columns.
        dialect: The delimiter.

    Raises:
        pyarrow.ArrowInvalid: Arrow's parser sees other records.
    """
    data = _joined(buffer, found, good)
    if not data:
        return [pa.array([], pa.string())] * width
    if data.startswith(_BOM):
        data = _BOM + data  # the parser drops one at the start
    names = [str(number) for number in range(width)]
    table = pacsv.read_csv(
        pa.BufferReader(data),
        pacsv.ReadOptions(column_names=names, block_size=len(data) + 1),
        pacsv.ParseOptions(
            delimiter=dialect.delimiter.decode(), newlines_in_values=True, ignore_empty_lines=False
        ),
        pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            check_utf8=False,
            null_values=[],
            strings_can_be_null=False,
        ),
    )
    if table.num_rows != int(good.sum()):
        raise pa.ArrowInvalid(f"{table.num_rows} rows parsed of {int(good.sum())}")
    return [column.combine_chunks() for column in table.columns]


def _joined(buffer: bytes, found: Structure, good: Flags) -> bytes:
    if good.all():
        return buffer[: found.consumed]
    edges = np.flatnonzero(np.diff(good.astype(np.int8), prepend=0, append=0))
    pieces = [
        buffer[found.starts[first] : found.ends[behind - 1]]
        for first, behind in zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True)
    ]
    return b"".join(pieces)
