"""The text of a settings file, or of a file that it names."""

import re
import stat
from pathlib import Path

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.settings.errors import did_you_mean

MAX_BYTES = 1024 * 1024

_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class UnreadableError(ElspethError):
    """A file that gives no text.

    Attributes:
        reason: Why not, without the file's name.
        line: Line from 1 of what stands in the way; 0 when it is the file as a whole.
        column: Column from 1, or 0.
    """

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(reason)


def read_text(path: Path) -> str:
    """Read a UTF-8 file of at most `MAX_BYTES`; a byte order mark is dropped.

    Raises:
        UnreadableError: Missing, not a regular file, not permitted, too large or not UTF-8.
    """
    data = _read_bytes(path)
    if len(data) > MAX_BYTES:
        raise UnreadableError(f"has more than {MAX_BYTES:,} bytes; that is the most that is read")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        byte = data[error.start]
        raise UnreadableError(
            f"is not UTF-8 text: byte 0x{byte:02x} at column {column}", line, column
        ) from error


def check_printable(text: str) -> None:
    """Refuse the control characters that YAML has no place for.

    Raises:
        UnreadableError: The text holds one; it says which and where.
    """
    found = _NOT_PRINTABLE.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - (text.rfind("\n", 0, found.start()) + 1) + 1
        name = f"U+{ord(found.group()):04X}"
        raise UnreadableError(f"holds the control character {name} at column {column}", line, column)


def _read_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnreadableError("expected a file, found a folder")
        if not stat.S_ISREG(mode):
            raise UnreadableError("is not a regular file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableError(f"no such file{_similar_files(path)}") from error
    except (OSError, ValueError) as error:
        raise UnreadableError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _similar_files(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"; there is no folder {path.parent}"
    return did_you_mean(path.name, names)
