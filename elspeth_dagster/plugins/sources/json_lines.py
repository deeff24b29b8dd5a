"""JSON Lines cut into records: one per line that is not blank, as received."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa

from elspeth_dagster.plugins.sources.chunking import Cut, Problem, problem_arrays
from elspeth_dagster.plugins.sources.files import BLOCK_BYTES, MAX_READ_BYTES, InputFile
from elspeth_dagster.rows.records import Form, Records

_CUT_LINES = 20_000


@dataclass
class LinesCutter:
    """Cuts a stream of lines; whether one is JSON is for the boundary to say.

    Attributes:
        stream: Positioned at the start of a line.
        clock_us: The run's clock.
        encoding: Named in messages.
        max_record_bytes: A longer line is handed over in pieces, none of which is a row.
        record: Index of the next record.
        line: Lines before it.
        broken: What comes is the rest of an overlong line.
        block_bytes: How much is read at a time.
    """

    stream: InputFile
    clock_us: Callable[[], int]
    encoding: str
    max_record_bytes: int
    record: int
    line: int = 0
    broken: bool = False
    block_bytes: int = BLOCK_BYTES

    def cuts(self) -> Iterator[Cut]:
        """Every cut up to the end of the stream."""
        buffer = b""
        while True:
            block = self.stream.read(max(self.block_bytes, min(len(buffer), MAX_READ_BYTES)))
            buffer += block
            offset = self.stream.offset - len(buffer)
            used = 0
            lines = self._lines(buffer, last=not block)
            while batch := list(islice(lines, _CUT_LINES)):
                used = batch[-1].end
                yield from self._cut(batch, offset)
            buffer = buffer[used:]
            if not block:
                return

    def _lines(self, buffer: bytes, *, last: bool) -> Iterator["_Line"]:
        at = 0
        while at < len(buffer):
            found = buffer.find(b"\n", at, at + self.max_record_bytes + 1)
            if found >= 0:
                line = _Line(buffer[at:found], found + 1, ends=True, part=self.broken)
            elif len(buffer) - at > self.max_record_bytes:
                end = at + self.max_record_bytes
                line = _Line(buffer[at:end], end, ends=False, part=True)
            elif last:
                line = _Line(buffer[at:], len(buffer), ends=True, part=self.broken)
            else:
                return
            self.broken = not line.ends
            yield line
            at = line.end

    def _cut(self, lines: list["_Line"], offset: int) -> Iterator[Cut]:
        raws: list[bytes | None] = []
        problems: dict[int, Problem] = {}
        places: list[tuple[int, int, int, bool]] = []
        for line in lines:
            number = self.line + 1
            self.line += line.ends
            content = line.content.removesuffix(b"\r")
            if not line.part and not content.strip():
                continue
            problem = self._problem(content, number, line.part)
            if problem is not None:
                problems[len(raws)] = problem
            raws.append(content)
            places.append((line.end + offset, number, self.line, not line.ends))
        if not raws:
            return
        ends, numbers, behind, broken = np.array(places, np.int64).T
        count = len(raws)
        arrays = problem_arrays(problems, count)
        arrays["raw"] = pa.array(raws, pa.binary())
        arrived = pa.repeat(pa.scalar(self.clock_us(), pa.int64()), count)
        records = Records(Form.JSON, self.record, pa.array(numbers), arrived, {}, **arrays)
        self.record += count
        yield Cut(records, ends, {"line": behind, "broken": broken})

    def _problem(self, content: bytes, line: int, part: bool) -> Problem | None:
        if not content.isascii():
            try:
                content.decode()
            except UnicodeDecodeError:
                shown = {"__raw_bytes_hex__": self.stream.original(content).hex(), "__line_number__": line}
                return Problem(f"undecodable: it has bytes that are not {self.encoding}", shown)
        if part:
            reason = f"record_too_large: it is part of a line of more than {self.max_record_bytes} bytes"
            return Problem(reason, {"__raw_line__": content.decode(), "__line_number__": line})
        return None


@dataclass(frozen=True, slots=True)
class _Line:
    content: bytes
    end: int
    ends: bool
    part: bool
