"""What keeps a CSV record from being a row, and how it is shown then."""

from collections.abc import Callable
from dataclasses import dataclass

from elspeth_dagster.plugins.sources.chunking import Problem
from elspeth_dagster.plugins.sources.csv_exact import Dialect
from elspeth_dagster.rows.headers import Header


@dataclass(frozen=True)
class CutRules:
    """How records are cut, and which of them have a problem.

    Attributes:
        dialect: How the text is cut.
        header: The columns.
        max_cell_bytes: A longer cell makes its record a problem.
        encoding: Named in messages.
        original: Turns bytes of the stream into those of the file.
    """

    dialect: Dialect
    header: Header
    max_cell_bytes: int
    encoding: str
    original: Callable[[bytes], bytes]

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.header.names)

    def of_cells(self, cells: list[bytes], content: bytes, line: int, row: int) -> Problem | None:
        """The problem of a record that could be cut into cells, if it has one."""
        if len(cells) != self.width:
            reason = f"cell_count: expected {_cells(self.width)}, found {len(cells)}"
            return self.of_text(reason, content, line, row)
        large = self.large_cell(cells) if len(content) > self.max_cell_bytes else None
        if large is not None:
            return self.of_text(large, content, line, row)
        return None if content.isascii() else self._undecodable(content, line, row)

    def of_text(self, reason: str, content: bytes, line: int, row: int) -> Problem:
        """A problem of a record that is shown as its text, or as its bytes where it is none.

        Args:
            reason: Why it is no row.
            content: The record as received, without its line end.
            line: Physical line on which it ended.
            row: Its number among the data records, from 1.
        """
        undecodable = self._undecodable(content, line, row)
        if undecodable is not None:
            return undecodable
        shown = {"__raw_line__": content.decode(), "__line_number__": line, "__row_number__": row}
        return Problem(reason, shown, self.original(content))

    def large_cell(self, cells: list[bytes]) -> str | None:
        """Why the cells are too large, if one is."""
        for position, cell in enumerate(cells, 1):
            if len(cell) > self.max_cell_bytes:
                return (
                    f"cell_too_large: cell {position} has {len(cell)} bytes; "
                    f"max_cell_bytes is {self.max_cell_bytes}"
                )
        return None

    def _undecodable(self, content: bytes, line: int, row: int) -> Problem | None:
        try:
            content.decode()
        except UnicodeDecodeError:
            raw = self.original(content)
            shown = {"__raw_bytes_hex__": raw.hex(), "__line_number__": line, "__row_number__": row}
            return Problem(f"undecodable: it has bytes that are not {self.encoding}", shown, raw)
        return None


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
