"""The data records of a CSV stream as cuts: the fast cutter where it can, the exact one elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pyarrow as pa

from elspeth_dagster.plugins.sources.chunking import Cut, Ints, Problem, problem_arrays
from elspeth_dagster.plugins.sources.csv_exact import ExactCutter, Kind, RecordCut
from elspeth_dagster.plugins.sources.csv_fast import Flags, Structure, find_structure, parse_columns
from elspeth_dagster.plugins.sources.csv_rules import CutRules
from elspeth_dagster.plugins.sources.files import BLOCK_BYTES, MAX_READ_BYTES, InputFile
from elspeth_dagster.rows.records import Form, Records

_CUT_RECORDS = 20_000
_FAST_BLOCKS = 4


@dataclass(frozen=True, eq=False)
class _Stretch:
    """Neighbouring records of a buffer, blank lines left out.

    Attributes:
        columns: Cells per column, null where a record has a problem.
        problems: By position.
        ends: Where in the buffer the next record starts.
        lines: Physical line on which each ended, counted from the file's first.
        lines_behind: Physical lines that have ended behind it.
        blanks: Blank lines of the file behind it.
        broken: Whether its line goes on behind it.
    """

    columns: Sequence[pa.Array]
    problems: Mapping[int, Problem]
    ends: Ints
    lines: Ints
    lines_behind: Ints
    blanks: Ints
    broken: Ints


@dataclass
class CsvCutter:
    """Cuts the data records of a stream.

    Attributes:
        stream: Positioned at the first of them.
        rules: What is a problem.
        clock_us: The run's clock.
        record: Index of the next record.
        line: Physical lines before it.
        blanks: Blank lines before it.
        broken: What comes is the rest of an overlong line.
        fast: Whether blocks may be cut at once.
        block_bytes: How much is read at a time.
    """

    stream: InputFile
    rules: CutRules
    clock_us: Callable[[], int]
    record: int
    line: int
    blanks: int = 0
    broken: bool = False
    fast: bool = True
    block_bytes: int = BLOCK_BYTES
    _exact: ExactCutter = field(init=False)

    def __post_init__(self) -> None:
        self._exact = ExactCutter(self.rules.dialect)
        self.fast = self.fast and len(self.rules.dialect.delimiter) == 1

    def cuts(self) -> Iterator[Cut]:
        """Every cut up to the end of the stream."""
        buffer = b""
        while True:
            block = self.stream.read(max(self.block_bytes, min(len(buffer), MAX_READ_BYTES)))
            buffer += block
            offset = self.stream.offset - len(buffer)
            cut = 0
            for stretch, used in self._stretches(buffer, last=not block):
                yield from self._cut(stretch, offset)
                cut = used
            buffer = buffer[cut:]
            if cut and len(buffer) > self.block_bytes:
                self.stream.give_back(buffer)
                buffer = b""
            elif not block:
                return

    def _stretches(self, buffer: bytes, *, last: bool) -> Iterator[tuple[_Stretch, int]]:
        """What can be cut from a buffer, and how much of it is used then.

        A buffer gets long when the end of a record was looked for far ahead. Then only its beginning is cut.
        """
        used = 0
        if self.fast and buffer and not self.broken and len(buffer) <= _FAST_BLOCKS * self.block_bytes:
            found = find_structure(buffer, self.rules.dialect, last=last)
            stretch = self._of_structure(buffer, found) if found.consumed else None
            if stretch is not None:
                used = found.consumed
                yield stretch, used
        records = self._exact.records(buffer, used, last=last, broken=self.broken)
        while batch := list(islice(records, _CUT_RECORDS)):
            used = batch[-1].end
            yield self._of_records(buffer, batch), used
            if len(buffer) - used > self.block_bytes:
                return

    def _cut(self, stretch: _Stretch, offset: int) -> Iterator[Cut]:
        count = len(stretch.ends)
        if not count:
            return
        header = self.rules.header
        records = Records(
            Form.CELLS,
            self.record,
            pa.array(stretch.lines, pa.int64()),
            pa.repeat(pa.scalar(self.clock_us(), pa.int64()), count),
            dict(zip(header.names, stretch.columns, strict=True)),
            **problem_arrays(stretch.problems, count),
            originals=header.by_name,
        )
        self.record += count
        trail = {"line": stretch.lines_behind, "blanks": stretch.blanks, "broken": stretch.broken}
        yield Cut(records, stretch.ends + offset, trail)

    def _of_structure(self, buffer: bytes, found: Structure) -> _Stretch | None:
        """The records of a structure; `None` when Arrow's parser disagrees with it."""
        is_record = ~found.blank
        lines = found.lines_ended + self.line
        blanks = np.cumsum(found.blank) + self.blanks
        rows = np.cumsum(is_record) + self.record
        good = self._good(buffer, found, is_record)
        try:
            columns = parse_columns(buffer, found, good, self.rules.width, self.rules.dialect)
        except pa.ArrowInvalid:
            return None
        problems = {}
        places = np.cumsum(is_record) - 1
        for at in np.flatnonzero(is_record & ~good).tolist():
            content = buffer[found.starts[at] : found.content_ends[at]]
            cells = self._cells(content)
            problem = self.rules.of_cells(cells, content, int(lines[at]), int(rows[at]))
            if problem is not None:
                problems[int(places[at])] = problem
        if problems:
            columns = _spread(columns, good[is_record])
        self.line, self.blanks = int(lines[-1]), int(blanks[-1])
        unbroken = np.zeros(int(is_record.sum()), np.int64)
        lines, blanks = lines[is_record], blanks[is_record]
        return _Stretch(columns, problems, found.ends[is_record], lines, lines, blanks, unbroken)

    def _good(self, buffer: bytes, found: Structure, is_record: Flags) -> Flags:
        """Which records have no problem."""
        good: Flags = is_record & (found.cell_counts == self.rules.width)
        if len(buffer) > self.rules.max_cell_bytes:
            long = good & (found.content_ends - found.starts > self.rules.max_cell_bytes)
            for at in np.flatnonzero(long).tolist():
                cells = self._cells(buffer[found.starts[at] : found.content_ends[at]])
                good[at] = self.rules.large_cell(cells) is None
        if not buffer.isascii():
            good &= _decodable(buffer, found)
        return good

    def _cells(self, content: bytes) -> list[bytes]:
        record = self._exact.record(content, 0, last=True)
        return record.cells if record else []

    def _of_records(self, buffer: bytes, records: Sequence[RecordCut]) -> _Stretch:
        problems: dict[int, Problem] = {}
        good: list[list[bytes]] = []
        kept: list[tuple[int, int, int, int, bool]] = []
        for record in records:
            line = self.line + record.lines_inside + 1
            self.line += record.lines_ended
            self.broken = record.broken
            if record.kind is Kind.BLANK:
                self.blanks += 1
                continue
            content = buffer[record.start : record.content_end]
            problem = self._problem(record, content, line, self.record + len(kept) + 1)
            if problem is None:
                good.append(record.cells)
            else:
                problems[len(kept)] = problem
            kept.append((record.end, line, self.line, self.blanks, record.broken))
        columns = _text_columns(good, self.rules.width)
        if problems:
            is_good = np.ones(len(kept), np.bool_)
            is_good[list(problems)] = False
            columns = _spread(columns, is_good)
        places = np.array(kept, np.int64).reshape(len(kept), 5).T
        return _Stretch(columns, problems, *places)

    def _problem(self, record: RecordCut, content: bytes, line: int, row: int) -> Problem | None:
        if record.kind is Kind.CELLS:
            return self.rules.of_cells(record.cells, content, line, row)
        if record.kind is Kind.UNTERMINATED:
            opened = line - record.lines_inside + record.quote_line
            reason = f"unterminated_quote: unterminated quote, line {opened}"
        else:
            limit = self.rules.dialect.max_record_bytes
            reason = f"record_too_large: it is part of a record of more than {limit} bytes"
        return self.rules.of_text(reason, content, line, row)


def _decodable(buffer: bytes, found: Structure) -> Flags:
    """Which records are UTF-8."""
    result = np.ones(len(found.ends), np.bool_)
    position = 0
    view = memoryview(buffer)[: found.consumed]
    while position < len(view):
        try:
            str(view[position:], "utf-8")
        except UnicodeDecodeError as error:
            at = int(np.searchsorted(found.ends, position + error.start, "right"))
            result[at] = False
            position = int(found.ends[at])
        else:
            break
    return result


def _text_columns(rows: Sequence[list[bytes]], width: int) -> list[pa.Array]:
    """Cells that are known to be UTF-8, by column."""
    if not rows:
        return [pa.array([], pa.string())] * width
    return [pa.array(column, pa.binary()).view(pa.string()) for column in zip(*rows, strict=True)]


def _spread(columns: Sequence[pa.Array], good: Flags) -> list[pa.Array]:
    """Puts a null wherever a record is not good."""
    places = pa.array(np.cumsum(good) - 1, pa.int64(), mask=~good)
    return [column.take(places) for column in columns]
