"""The elements of a JSON array as cuts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from elspeth_dagster.plugins.sources.chunking import Cut, Problem, problem_arrays
from elspeth_dagster.plugins.sources.files import InputFile
from elspeth_dagster.plugins.sources.json_array import ArrayReader, Element, StructureError
from elspeth_dagster.plugins.sources.json_text import JsonTextError
from elspeth_dagster.rows.records import Form, Records

_CUT_RECORDS = 5000
_CUT_BYTES = 8 * 1024 * 1024


@dataclass
class _Batch:
    elements: list[Element] = field(default_factory=list)
    size_bytes: int = 0
    failure: JsonTextError | None = None
    ended: bool = False


@dataclass
class ElementsCutter:
    """Cuts the array of a document.

    Attributes:
        stream: The file.
        reader: Walks through it.
        place: What records call the file.
        encoding: Named in messages.
        clock_us: The run's clock.
        record: Index of the next record.
    """

    stream: InputFile
    reader: ArrayReader
    place: str
    encoding: str
    clock_us: Callable[[], int]
    record: int

    def cuts(self, *, inside: bool) -> Iterator[Cut]:
        """Every cut up to the end; what can't be read is one last record with a problem."""
        elements = self.reader.elements(inside=inside)
        while True:
            batch = self._batch(elements)
            if batch.elements or batch.failure:
                yield self._cut(batch)
            if batch.ended:
                return

    def _batch(self, elements: Iterator[Element]) -> _Batch:
        batch = _Batch()
        try:
            for element in elements:
                batch.elements.append(element)
                batch.size_bytes += len(element.raw)
                if len(batch.elements) == _CUT_RECORDS or batch.size_bytes >= _CUT_BYTES:
                    return batch
        except JsonTextError as error:
            batch.failure = error
        batch.ended = True
        return batch

    def _cut(self, batch: _Batch) -> Cut:
        raws: list[bytes | None] = [element.raw for element in batch.elements]
        places = [(element.end, element.line, element.column, 0) for element in batch.elements]
        problems = {}
        for position, element in enumerate(batch.elements):
            problem = self._undecodable(element)
            if problem is not None:
                problems[position] = problem
        if batch.failure is not None:
            text = self.reader.text
            problems[len(raws)] = self._unreadable(batch.failure)
            places.append((text.offset, text.line, text.column, 1))
            raws.append(None)
        ends, lines, columns, done = np.array(places, np.int64).T
        count = len(raws)
        arrays = problem_arrays(problems, count)
        arrays["raw"] = pa.array(raws, pa.binary())
        arrived = pa.repeat(pa.scalar(self.clock_us(), pa.int64()), count)
        records = Records(Form.JSON, self.record, pa.array(lines + 1), arrived, {}, **arrays)
        self.record += count
        return Cut(records, ends, {"line": lines, "column": columns, "done": done})

    def _undecodable(self, element: Element) -> Problem | None:
        if element.raw.isascii():
            return None
        try:
            element.raw.decode()
        except UnicodeDecodeError:
            raw = self.stream.original(element.raw)
            shown = {"__raw_bytes_hex__": raw.hex(), "__line_number__": element.line + 1}
            return Problem(f"undecodable: it has bytes that are not {self.encoding}", shown)
        return None

    def _unreadable(self, failure: JsonTextError) -> Problem:
        if isinstance(failure, StructureError):
            shown = {"file_path": self.place, "structure_error": str(failure)}
            return Problem(f"structure_error: {failure}", shown)
        return Problem(f"syntax_error: {failure}", {"file_path": self.place, "error": str(failure)})
