"""CSV cut record by record: the definition of what our CSV means. `csv_fast.py` must give the same.

Lenient as Python's `csv`: a quote counts only at the start of a cell, text behind a closing quote is part of
the cell. Line ends are LF, CRLF and CR. Unlike there, a quote that is never closed takes nothing but its own
line with it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

MIB = 1024 * 1024
_QUOTED = re.compile(rb'[^"]*+(?:""[^"]*+)*+')
_LINE_END = re.compile(rb"\r\n?|\n")


@dataclass(frozen=True)
class Dialect:
    """How the text is cut, and its limits.

    Attributes:
        delimiter: One character, in UTF-8.
        max_quoted_bytes: A quoted cell that is longer counts as never closed.
        max_record_bytes: A longer record is handed over in pieces, none of which is a row.
    """

    delimiter: bytes = b","
    max_quoted_bytes: int = 64 * MIB
    max_record_bytes: int = 128 * MIB


class Kind(Enum):
    """What a record is."""

    CELLS = "cells"
    BLANK = "blank"
    UNTERMINATED = "unterminated"
    OVERLONG = "overlong"


@dataclass(frozen=True, slots=True)
class RecordCut:
    """A record in a buffer.

    Attributes:
        kind: CELLS when it could be cut.
        start: Where it starts.
        content_end: Where its line end starts.
        end: Where the next record starts.
        cells: Its cells, raw bytes; empty unless CELLS.
        lines_inside: Line ends within it.
        quote_line: UNTERMINATED: line ends before the quote.
        broken: The line goes on behind `end`.
    """

    kind: Kind
    start: int
    content_end: int
    end: int
    cells: list[bytes]
    lines_inside: int = 0
    quote_line: int = 0
    broken: bool = False

    @property
    def lines_ended(self) -> int:
        """Physical lines that end within it or with it."""
        return self.lines_inside + (not self.broken)


class ExactCutter:
    """Cuts records out of a buffer."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._separator = re.compile(re.escape(dialect.delimiter) + rb"|\r\n?|\n")

    def records(self, buffer: bytes, at: int, *, last: bool, broken: bool = False) -> Iterator[RecordCut]:
        """Every record that is whole in `buffer` from `at` on.

        Args:
            buffer: Some of the input.
            at: Where a record starts.
            last: Nothing comes behind the buffer.
            broken: What starts at `at` is the rest of an overlong line.
        """
        while at < len(buffer):
            record = self._rest_of_line(buffer, at, last) if broken else self.record(buffer, at, last=last)
            if record is None:
                return
            yield record
            at, broken = record.end, record.broken

    def record(self, buffer: bytes, at: int, *, last: bool) -> RecordCut | None:
        """The record that starts at `at`, or `None` when the buffer does not hold all of it."""
        line = self._line_end(buffer, at, last)
        if line is not None and line[0] - at <= self._dialect.max_record_bytes:
            content = buffer[at : line[0]]
            if not content:
                return RecordCut(Kind.BLANK, at, at, line[1], [])
            if b'"' not in content:
                return RecordCut(Kind.CELLS, at, *line, content.split(self._dialect.delimiter))
        if line is None and buffer.find(b'"', at) < 0:
            return self._incomplete(buffer, at)
        return self._record_by_cells(buffer, at, last)

    def _record_by_cells(self, buffer: bytes, at: int, last: bool) -> RecordCut | None:
        cells: list[bytes] = []
        position = at
        far = at + self._dialect.max_record_bytes
        while True:
            if position > far:
                return self._overlong(buffer, at)
            quoted = b""
            if buffer.startswith(b'"', position):
                closing = self._closing_quote(buffer, position, last)
                if closing is None:
                    return None
                if closing < 0:
                    return self._unterminated(buffer, at, position, last)
                quoted = buffer[position + 1 : closing].replace(b'""', b'"')
                position = closing + 1
            found = self._separator.search(buffer, position)
            if found is None or self._may_grow(buffer, found, last):
                if not last:
                    return self._incomplete(buffer, at)
                cells.append(quoted + buffer[position:])
                return self._finished(buffer, at, len(buffer), len(buffer), cells)
            cells.append(quoted + buffer[position : found.start()])
            if found.group() != self._dialect.delimiter:
                return self._finished(buffer, at, found.start(), found.end(), cells)
            position = found.end()

    def _finished(self, buffer: bytes, at: int, content_end: int, end: int, cells: list[bytes]) -> RecordCut:
        if content_end - at > self._dialect.max_record_bytes:
            return self._overlong(buffer, at)
        return RecordCut(Kind.CELLS, at, content_end, end, cells, _count_lines(buffer, at, content_end))

    def _unterminated(self, buffer: bytes, at: int, quote: int, last: bool) -> RecordCut | None:
        far = at + self._dialect.max_record_bytes
        line = self._line_end(buffer, quote, last)
        if line is None:
            return self._incomplete(buffer, at)
        if line[0] > far:
            return self._overlong(buffer, at)
        before, inside = _count_lines(buffer, at, quote), _count_lines(buffer, at, line[0])
        return RecordCut(Kind.UNTERMINATED, at, *line, [], inside, before)

    def _incomplete(self, buffer: bytes, at: int) -> RecordCut | None:
        """What a record is whose end is not in the buffer: unknown yet, or overlong wherever it ends."""
        return self._overlong(buffer, at) if len(buffer) > at + self._dialect.max_record_bytes + 1 else None

    def _overlong(self, buffer: bytes, at: int) -> RecordCut:
        end = at + self._dialect.max_record_bytes
        return RecordCut(Kind.OVERLONG, at, end, end, [], _count_lines(buffer, at, end), broken=True)

    def _rest_of_line(self, buffer: bytes, at: int, last: bool) -> RecordCut | None:
        line = self._line_end(buffer, at, last)
        if line is not None and line[0] - at <= self._dialect.max_record_bytes:
            return RecordCut(Kind.OVERLONG, at, *line, [])
        return self._overlong(buffer, at) if line is not None else self._incomplete(buffer, at)

    def _line_end(self, buffer: bytes, at: int, last: bool) -> tuple[int, int] | None:
        found = _LINE_END.search(buffer, at)
        if found is None or self._may_grow(buffer, found, last):
            return (len(buffer), len(buffer)) if last else None
        return found.span()

    def _may_grow(self, buffer: bytes, found: re.Match[bytes], last: bool) -> bool:
        """Whether a CR at the very end of the buffer may turn out to be a CRLF."""
        return not last and found.group() == b"\r" and found.end() == len(buffer)

    def _closing_quote(self, buffer: bytes, opening: int, last: bool) -> int | None:
        """Where the quote at `opening` is closed, -1 when it never is, `None` when that is not known yet."""
        bound = opening + self._dialect.max_quoted_bytes
        cell = _QUOTED.match(buffer, opening + 1, bound)
        closing = cell.end() if cell else bound
        if closing >= min(bound, len(buffer)):
            return -1 if last or len(buffer) >= bound else None
        if closing + 1 == len(buffer):
            return closing if last else None
        # Only a doubled quote that the bound splits is left standing here.
        return -1 if buffer.startswith(b'"', closing + 1) else closing


def _count_lines(buffer: bytes, start: int, end: int) -> int:
    """Line ends that start in a stretch of the buffer."""
    feeds = buffer.count(b"\n", start, end)
    returns = buffer.count(b"\r", start, end)
    if not returns:
        return feeds
    pairs = buffer.count(b"\r\n", start, end)
    return feeds + returns - pairs
