"""The beginning of a CSV file: byte order mark, records to skip, blank lines, header."""

from dataclasses import dataclass

from elspeth_dagster.plugins.base import Notice
from elspeth_dagster.plugins.sources.chunking import Problem
from elspeth_dagster.plugins.sources.csv_exact import Dialect, ExactCutter, Kind, RecordCut
from elspeth_dagster.plugins.sources.files import BOM, InputFile

_FIRST_READ = 64 * 1024


@dataclass(frozen=True)
class Opening:
    """What stands before the data records.

    Attributes:
        line: Physical lines that have ended.
        cells: The header's cells; empty when none is wanted or there is none.
        has_data: Whether data records can follow.
        notice: Why they can't, when that needs saying.
        problem: The same, when it is a record that could not be read.
    """

    line: int
    cells: tuple[str, ...] = ()
    has_data: bool = True
    notice: Notice | None = None
    problem: Problem | None = None


@dataclass
class OpeningReader:
    """Reads up to the first data record and leaves the stream there.

    Attributes:
        stream: The file, at its start.
        dialect: How the text is cut.
        place: What records call the file.
        encoding: Likewise.
    """

    stream: InputFile
    dialect: Dialect
    place: str
    encoding: str

    def __post_init__(self) -> None:
        self._exact = ExactCutter(self.dialect)
        self._ahead = b""
        self._at = 0

    def read(self, skip_rows: int, *, header_wanted: bool) -> Opening:
        """Skips `skip_rows` records, then reads the header if there should be one."""
        self.stream.skip(BOM)
        opening = self._opening(skip_rows, header_wanted)
        self.stream.give_back(self._ahead[self._at :])
        return opening

    def _opening(self, skip_rows: int, header_wanted: bool) -> Opening:
        line = blanks = 0
        for skipped in range(skip_rows):
            record = self._next()
            if record is None:
                return _missing(f"skip_rows is {skip_rows}, but the file has {skipped} records", line)
            line += record[0].lines_ended
        if not header_wanted:
            return Opening(line)
        while found := self._next():
            if found[0].kind is not Kind.BLANK:
                return self._header(*found, line + blanks)
            blanks += 1
        if skip_rows or blanks:
            return _missing(f"there is no header behind line {line}", line + blanks)
        return Opening(0, has_data=False)

    def _header(self, record: RecordCut, content: bytes, line: int) -> Opening:
        behind = line + record.lines_ended
        where = {"file_path": self.place, "__line_number__": behind}
        raw = self.stream.original(content)
        try:
            text = content.decode()
        except UnicodeDecodeError:
            shown = where | {"__encoding__": self.encoding, "__raw_bytes_hex__": raw.hex()}
            problem = Problem(f"header: it has bytes that are not {self.encoding}", shown, raw)
            return Opening(behind, has_data=False, problem=problem)
        if record.kind is not Kind.CELLS:
            why = "unterminated quote" if record.kind is Kind.UNTERMINATED else "too large"
            problem = Problem(f"header: {why}", where | {"__raw_line__": text}, raw)
            return Opening(behind, has_data=False, problem=problem)
        return Opening(behind, tuple(cell.decode() for cell in record.cells))

    def _next(self) -> tuple[RecordCut, bytes] | None:
        """The next record and its content, `None` at the end of the file."""
        last = False
        while True:
            record = self._exact.record(self._ahead, self._at, last=last) if self._unused else None
            if record is not None:
                self._at = record.end
                return record, self._ahead[record.start : record.content_end]
            if last:
                return None
            block = self.stream.read(max(_FIRST_READ, self._unused))
            self._ahead, self._at, last = self._ahead[self._at :] + block, 0, not block

    @property
    def _unused(self) -> int:
        return len(self._ahead) - self._at


def _missing(detail: str, line: int) -> Opening:
    return Opening(line, has_data=False, notice=Notice("missing_header", detail, line))
