"""JSON text read value by value from a stream, without holding more of it than one value."""

import codecs
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.plugins.sources.files import BLOCK_BYTES

_BLANK = frozenset(" \t\n\r")
_BLANKS = re.compile(r"[ \t\n\r]*")
_NUMBER_START = frozenset("-0123456789")
_NUMBER = re.compile(r"[-+0-9.eE]*")
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{}]', re.DOTALL)
# How close to the end of the text an error may be for which more text would make a difference: a number, a
# literal or a pair of \u escapes that is cut in two.
_CUT_CHARACTERS = 16


class JsonTextError(ElspethError):
    """The text is not JSON."""


class ValueTooLargeError(JsonTextError):
    """A value is larger than this reader takes."""


class _ConstantError(Exception):
    """NaN or an infinity, which Python's parser would take."""


def _refuse(name: str) -> NoReturn:
    raise _ConstantError(name)


# Values are parsed for their syntax alone, so what becomes of the digits of a number does not matter.
_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=len, parse_float=len)


@dataclass
class JsonText:
    """A cursor in JSON text. Bytes that are not UTF-8 are taken as characters of strings.

    Attributes:
        feed: Gives some more bytes of the text, none at its end.
        max_value_bytes: A longer value is an error.
        offset: Bytes of the stream before the cursor.
        line: Line ends before it.
        column: Characters before it in its line.
        block_bytes: How much is asked for at a time.
    """

    feed: Callable[[int], bytes]
    max_value_bytes: int
    offset: int = 0
    line: int = 0
    column: int = 0
    block_bytes: int = BLOCK_BYTES

    def __post_init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """The next character that is not blank, empty at the end; the cursor moves to it."""
        while True:
            mark = self._text[self._at : self._at + 1]
            if mark in _BLANK:
                found = _BLANKS.match(self._text, self._at)
                self._advance(found.end() if found else self._at)
                mark = self._text[self._at : self._at + 1]
            if mark or self._ended:
                return mark
            self._more()

    def take(self, expected: str) -> None:
        """Moves over a punctuation mark.

        Raises:
            JsonTextError: It is another.
        """
        if self.peek() != expected:
            raise self.error(f"Expecting {expected!r}")
        self._at += 1
        self.offset += 1
        self.column += 1

    def value(self) -> tuple[Any, bytes]:
        """Moves over the next value; gives what it is (but for its numbers) and its text.

        Raises:
            JsonTextError: There is none.
        """
        self.peek()
        while (found := self._scan()) is None:
            if len(self._text) - self._at > self.max_value_bytes + _CUT_CHARACTERS:
                raise self._too_large()
            self._more()
        value, end = found
        too_large = self._too_large() if end - self._at > self.max_value_bytes else None
        raw = self._advance(end)
        if too_large or len(raw) > self.max_value_bytes:
            raise too_large or self._too_large()
        return value, raw

    def error(self, what: str) -> JsonTextError:
        """An error at the cursor."""
        return JsonTextError(self._placed(what, self._at))

    def _scan(self) -> tuple[Any, int] | None:
        """The value at the cursor and its end, `None` when more text is needed to tell."""
        text, at = self._text, self._at
        if text[at : at + 1] in _NUMBER_START and not self._ended:
            digits = _NUMBER.match(text, at)
            if digits and digits.end() == len(text):
                return None
        try:
            return _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            where = len(text) if error.msg.startswith("Unterminated string") else error.pos
            if not self._ended and where > len(text) - _CUT_CHARACTERS:
                return None
            if where - at > self.max_value_bytes:
                raise self._too_large() from None
            raise JsonTextError(self._placed(error.msg, error.pos)) from None
        except _ConstantError as error:
            raise self.error(f"{error} is no JSON value") from None
        except RecursionError:
            return self._skim()

    def _skim(self) -> tuple[Any, int] | None:
        """The end of a value that is nested too deeply to be parsed: where its brackets are closed."""
        depth = 0
        for found in _BRACKETS.finditer(self._text, self._at):
            mark = found.group()
            if mark == '"':
                break
            depth += (mark in "[{") - (mark in "]}")
            if not depth:
                return None, found.end()
        if self._ended:
            raise self.error("Brackets are not closed")
        return None

    def _more(self) -> None:
        data = self.feed(max(self.block_bytes, len(self._text) - self._at))
        self._ended = not data
        self._text = self._text[self._at :] + self._decoder.decode(data, self._ended)
        self._at = 0

    def _advance(self, end: int) -> bytes:
        passed = self._text[self._at : end]
        raw = passed.encode("utf-8", "surrogateescape")
        lines = passed.count("\n")
        self.offset += len(raw)
        self.line += lines
        self.column = len(passed) - passed.rfind("\n") - 1 if lines else self.column + len(passed)
        self._at = end
        return raw

    def _too_large(self) -> ValueTooLargeError:
        what = f"a value of more than {self.max_value_bytes} bytes"
        return ValueTooLargeError(self._placed(what, self._at))

    def _placed(self, what: str, at: int) -> str:
        passed = self._text[self._at : at]
        lines = passed.count("\n")
        column = len(passed) - passed.rfind("\n") - 1 if lines else self.column + len(passed)
        byte = self.offset + len(passed.encode("utf-8", "surrogateescape"))
        return f"{what}: line {self.line + lines + 1} column {column + 1} (byte {byte})"
