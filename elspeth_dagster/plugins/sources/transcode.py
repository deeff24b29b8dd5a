"""Any text encoding as UTF-8, byte for byte reversible where the input can't be decoded.

A byte that is not text in the input's encoding becomes a lone low surrogate (U+DC00 plus the byte), which
UTF-8 can't hold: the record that has it is then undecodable as UTF-8 too, and only that record.
"""

import codecs
import re
from collections.abc import Iterator

_KEEP = "elspeth_keep_bytes"
_KEPT = re.compile("([\udc00-\udcff]+)")
_BOMS = {
    "utf-16": ((codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF16_LE, "utf-16-le")),
    "utf-32": ((codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF32_LE, "utf-32-le")),
}
_NATIVE = {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}


def _keep_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_KEEP, _keep_bytes)


def canonical_encoding(name: str) -> str:
    """The codec's own name, `utf-8-sig` kept apart from `utf-8`.

    Raises:
        LookupError: There is no such text encoding.
    """
    codec = codecs.lookup(name)
    "".encode(name)  # codecs that don't turn text into bytes (rot13, base64) refuse this
    return codec.name


def is_utf8(encoding: str) -> bool:
    """Whether bytes in the encoding can be read as they are."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


class Transcoder:
    """Turns a stream of bytes in some encoding into one of UTF-8."""

    def __init__(self, encoding: str) -> None:
        self._encoding = codecs.lookup(encoding).name
        self._writing = _NATIVE.get(self._encoding, self._encoding)
        self._decoder = codecs.getincrementaldecoder(encoding)(_KEEP)
        self._fresh = True

    def feed(self, data: bytes, *, final: bool) -> bytes:
        """The next bytes as UTF-8, as far as they are complete characters."""
        if self._fresh and data:
            self._fresh = False
            for bom, encoding in _BOMS.get(self._encoding, ()):
                if data.startswith(bom):
                    self._writing = encoding
        return self._decoder.decode(data, final).encode("utf-8", "surrogatepass")

    def original(self, data: bytes) -> bytes:
        """The bytes that some of the UTF-8 given came from."""
        return b"".join(self._pieces(data.decode("utf-8", "surrogatepass")))

    def _pieces(self, text: str) -> Iterator[bytes]:
        for position, piece in enumerate(_KEPT.split(text)):
            if position % 2:
                yield bytes(ord(kept) - 0xDC00 for kept in piece)
            else:
                yield piece.encode(self._writing, "replace")
