"""The text of a settings file, or of a file that it names."""

import re
import stat
from collections.abc import Callable
from pathlib import Path

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.settings.errors import did_you_mean

MAX_BYTES = 1024 * 1024
_NO_SETTINGS = ("workspace.yaml", "dagster.yaml")

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


def read_text(path: Path, *, is_settings: bool = False) -> str:
    """Read a UTF-8 file of at most `MAX_BYTES`; a byte order mark is dropped.

    Args:
        path: The file.
        is_settings: Whether it is to be a settings file, so that nothing else is suggested for it.

    Raises:
        UnreadableError: Missing, not a regular file, not permitted, too large or not UTF-8.
    """
    data = _read_bytes(path, _similar_settings if is_settings else _similar_files)
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


def _read_bytes(path: Path, similar: Callable[[Path], str]) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnreadableError(f"expected a file, found a folder{_settings_in(path)}")
        if not stat.S_ISREG(mode):
            raise UnreadableError("is not a regular file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableError(f"no such file{similar(path)}") from error
    except (OSError, ValueError) as error:
        raise UnreadableError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _settings_in(folder: Path) -> str:
    file = folder / "settings.yaml"
    return f"; did you mean {file}?" if file.is_file() else ""


def _similar_files(path: Path) -> str:
    return _similar(path, lambda _: True)


def _similar_settings(path: Path) -> str:
    return _similar(path, _may_be_settings)


def _may_be_settings(entry: Path) -> bool:
    """Whether a file may be a pipeline's settings, or a folder holds some."""
    if entry.is_dir():
        return bool(_settings_in(entry))
    return entry.suffix in (".yaml", ".yml") and entry.name not in _NO_SETTINGS


def _similar(path: Path, fits: Callable[[Path], bool]) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if fits(entry)]
    except OSError:
        return f"; there is no folder {path.parent}"
    return did_you_mean(path.name, names)
