"""Where in a text something stands that Python's parser found by line and column."""

import ast
import re
from bisect import bisect_right

_NEWLINE = re.compile(r"\r\n|\r|\n")


class Places:
    """Turns Python's places (line from 1, column in UTF-8 bytes) into offsets in characters."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._is_ascii = text.isascii()
        self._line_starts = [0, *(newline.end() for newline in _NEWLINE.finditer(text))]

    def of_line(self, line: int, column: int) -> int:
        """Gives the offset of a column that is counted in characters from 0, held within the text."""
        start = self._line_starts[min(max(line, 1), len(self._line_starts)) - 1]
        return min(start + max(column, 0), len(self._text))

    def of_bytes(self, line: int, column: int) -> int:
        """Gives the offset of a column that is counted in UTF-8 bytes from 0."""
        start = self._line_starts[line - 1]
        if self._is_ascii:
            return start + column
        # As many characters as there are bytes are always enough.
        return start + len(self._text[start : start + column].encode()[:column].decode())

    def start(self, node: ast.expr) -> int:
        """Gives the offset where a node begins."""
        return self.of_bytes(node.lineno, node.col_offset)

    def end(self, node: ast.expr) -> int:
        """Gives the offset behind a node. Every node of a parsed text has one."""
        return self.of_bytes(node.end_lineno or 1, node.end_col_offset or 0)

    def describe(self, offset: int) -> str:
        """Names an offset for people: `column 3`, or `line 2, column 3` in a text of several lines."""
        line = bisect_right(self._line_starts, offset)
        column = f"column {offset - self._line_starts[line - 1] + 1}"
        return column if len(self._line_starts) == 1 else f"line {line}, {column}"
