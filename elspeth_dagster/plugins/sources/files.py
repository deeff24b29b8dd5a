"""A file as a bounded stream of UTF-8 that can be taken up again where a run stopped reading."""

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from elspeth_dagster.plugins.sources.errors import (
    SourceChangedError,
    SourceError,
    SourceMissingError,
    SourceShortenedError,
)
from elspeth_dagster.plugins.sources.transcode import Transcoder, is_utf8

BLOCK_BYTES = 4 * 1024 * 1024
MAX_READ_BYTES = 8 * BLOCK_BYTES
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class FileIdentity:
    """What tells a file from another, as it was when the run first opened it."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The identity in a `stat` result."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class InputFile:
    """A file's text as UTF-8, up to the size that it had when the run first opened it.

    Offsets count bytes of this stream. Bytes that are not text in the file's encoding are kept, so that what
    holds them can be set aside and shown as it was (`original`).

    Attributes:
        identity: The file when the run first opened it.
        offset: Stream position of the next byte that `read` gives.
        prefix: Hash of what has been read.
    """

    def __init__(self, file: BinaryIO, place: str, encoding: str, identity: FileIdentity) -> None:
        self._file = file
        self._place = place
        self._transcoder = None if is_utf8(encoding) else Transcoder(encoding)
        self._left = identity.size_bytes
        self._given_back: list[memoryview] = []
        self.identity = identity
        self.offset = 0
        self.prefix = PrefixHash()

    @classmethod
    def open(cls, path: Path, place: str, encoding: str, cursor: Mapping[str, Any] | None) -> Self:
        """Opens a file; `place` is what messages call it.

        Raises:
            SourceError: There is no such file, or it can't be read.
        """
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                what = "is a folder" if stat.S_ISDIR(status.st_mode) else "is no regular file"
                raise SourceError(place, f"{what} ({path})", "Name a file in the source's option `path`.")
            file = path.open("rb")
        except FileNotFoundError as error:
            raise SourceMissingError(place, path) from error
        except OSError as error:
            raise SourceError(
                place, f"can't be opened ({path}: {error.strerror})", "Make it readable for this user."
            ) from error
        identity = FileIdentity(**cursor["file"]) if cursor else FileIdentity.of(os.fstat(file.fileno()))
        return cls(file, place, encoding, identity)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        """At most `size` bytes more; none only at the end.

        Raises:
            SourceShortenedError: The file ends before it should.
        """
        ahead = self._given_back.pop() if self._given_back else memoryview(self._next(size))
        data = bytes(ahead[:size])
        if len(ahead) > size:
            self._given_back.append(ahead[size:])
        self.offset += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        """Makes the last bytes read the next ones again."""
        if data:
            self._given_back.append(memoryview(data))
            self.offset -= len(data)

    def _next(self, size: int) -> bytes:
        while True:
            raw = self._file.read(min(size, self._left))
            if self._left and not raw:
                whole = self.identity.size_bytes
                raise SourceShortenedError(self._place, whole, whole - self._left)
            self._left -= len(raw)
            data = raw if self._transcoder is None else self._transcoder.feed(raw, final=self._left == 0)
            if data or not raw:
                self.prefix.extend(data)
                return data

    def skip(self, start: bytes) -> None:
        """Moves over `start` if that comes next."""
        found = self.read(len(start))
        if found != start:
            self.give_back(found)

    def original(self, data: bytes) -> bytes:
        """The bytes of the file that some bytes of the stream came from."""
        return data if self._transcoder is None else self._transcoder.original(data)

    def take_up(self, cursor: Mapping[str, Any]) -> None:
        """Goes to where a cursor points, making sure that what lies before is what was read then.

        Raises:
            SourceChangedError: It is not.
        """
        offset = cursor["offset"]
        digest = self.prefix.digest_at(0)
        while self.offset < offset:
            try:
                data = self.read(min(BLOCK_BYTES, offset - self.offset))
            except SourceShortenedError:
                data = b""
            if not data:
                raise SourceChangedError(self._place, offset, f"the file now ends behind byte {self.offset}")
            digest = self.prefix.digest_at(self.offset)
        if digest != cursor["sha256"]:
            raise SourceChangedError(self._place, offset, "their SHA-256 is another")

    def cursor(self) -> dict[str, Any]:
        """The part of a cursor that says which file it belongs to."""
        return {"file": asdict(self.identity)}


class PrefixHash:
    """SHA-256 of a stream's beginning, wanted at offsets that only grow."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._waiting: list[memoryview] = []

    def extend(self, data: bytes) -> None:
        """The next bytes of the stream."""
        if data:
            self._waiting.append(memoryview(data))

    def digest_at(self, offset: int) -> str:
        """Hexadecimal digest of everything before `offset`."""
        while self._waiting and self._hashed < offset:
            data = self._waiting[0]
            part = data[: offset - self._hashed]
            self._hash.update(part)
            self._hashed += len(part)
            if len(part) == len(data):
                self._waiting.pop(0)
            else:
                self._waiting[0] = data[len(part) :]
        return self._hash.hexdigest()
