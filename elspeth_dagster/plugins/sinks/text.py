"""Encodings of text files, and joining columns of text into bytes."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator

from elspeth_dagster.rows.rows import Rows

_ASCII = bytes(range(128)).decode("ascii")
# Arrow's text arrays hold 2 GiB; a character may take six bytes once it is escaped.
_MAX_TEXT_BYTES = 256 << 20
_GROWTH = 6


@dataclass(frozen=True)
class Encoding:
    """A text encoding that files can be written in, piece by piece.

    Attributes:
        name: As Python calls it.
    """

    name: str

    @cached_property
    def mark(self) -> bytes:
        """What a file in this encoding begins with: the byte order mark, if there is one."""
        return "".encode(self.name)

    @cached_property
    def is_utf8(self) -> bool:
        """Whether text in memory has the file's bytes already."""
        return codecs.lookup(self.name).name in ("utf-8", "utf-8-sig")

    def encode(self, text: str) -> bytes:
        """The bytes of a piece of text, without the mark."""
        return text.encode(self.name)[len(self.mark) :]

    def encode_utf8(self, data: bytes | pa.Buffer) -> bytes | pa.Buffer:
        """The bytes of a piece of text that is given as UTF-8."""
        return data if self.is_utf8 else self.encode(bytes(data).decode("utf-8"))

    def can_express(self, text: str) -> bool:
        """Whether the encoding has all characters of a text."""
        try:
            self.encode(text)
        except UnicodeError:
            return False
        return True

    @cached_property
    def is_universal(self) -> bool:
        """Whether the encoding has every character."""
        return codecs.lookup(self.name).name.startswith("utf")

    def inexpressible(self, texts: pa.Array) -> list[int]:
        """The positions of the texts that hold a character which the encoding does not have."""
        if self.is_universal or not len(texts):
            return []
        if self.can_express("".join(pc.unique(texts).to_pylist())):
            return []
        plain = pc.string_is_ascii(texts).to_numpy(zero_copy_only=False)
        return [i for i, text in enumerate(texts.to_pylist()) if not (plain[i] or self.can_express(text))]


def _check_encoding(name: str) -> str:
    """Makes sure that text can be written in it, and piece by piece."""
    try:
        encoding = Encoding(name)
        if not codecs.lookup(name)._is_text_encoding:  # noqa: SLF001 - no public way
            raise ValueError(f"{name!r} is not a text encoding")
        whole = encoding.encode(_ASCII)
        pieces = b"".join(encoding.encode(character) for character in _ASCII)
        read_back = (encoding.mark + whole).decode(name)
    except (LookupError, UnicodeError, TypeError) as error:
        raise ValueError(f"{name!r} is not an encoding that text can be written in: {error}") from error
    if whole != pieces or read_back != _ASCII:
        raise ValueError(f"{name!r} is not an encoding that text files are written in")
    return name


EncodingOption = Annotated[str, AfterValidator(_check_encoding)]
"""The option `encoding`: any text encoding that Python knows."""


def text_slices(rows: Rows, extra_per_row: int) -> Iterator[Rows]:
    """Cuts rows so that the text of each slice fits an Arrow array."""
    per_row = (rows.num_bytes * _GROWTH) // max(rows.num_rows, 1) + extra_per_row
    step = max(_MAX_TEXT_BYTES // max(per_row, 1), 1)
    if step >= rows.num_rows:
        yield rows
        return
    for offset in range(0, rows.num_rows, step):
        yield rows.slice(offset, min(step, rows.num_rows - offset))


def data_of(texts: pa.Array) -> pa.Buffer:
    """The bytes of all texts, one behind the other, without copying them; nulls are not allowed."""
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return pa.py_buffer(b"")
    places = memoryview(offsets).cast("B").cast("i")
    start, end = places[texts.offset], places[texts.offset + len(texts)]
    return data.slice(start, end - start)
