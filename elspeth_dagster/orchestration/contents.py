"""What tells a file's content from another: its hash, or where that takes too long, its size and time."""

import hashlib
import math
import os
import time
from pathlib import Path

_WHOLE_BYTES = 256 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


def stamp(status: os.stat_result) -> str:
    """Differs when the file was written to or replaced."""
    facts = (status.st_mtime_ns, status.st_size, status.st_ino)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def is_hashed(status: os.stat_result) -> bool:
    """Whether a file is small enough for its hash to tell."""
    return status.st_size <= _WHOLE_BYTES


def by_size_and_time(status: os.stat_result) -> str:
    """What tells a content without reading it."""
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"


def by_hash(path: Path, deadline: float = math.inf) -> str | None:
    """What tells a content for sure; `None` when the monotonic clock passes the deadline before its end.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        while piece := opened.read(_PIECE_BYTES):
            digest.update(piece)
            if opened.tell() < size and time.monotonic() > deadline:
                return None
    return digest.hexdigest()[:32]


def is_told_by_time(content: str) -> bool:
    """Whether a content was told by size and time."""
    return "-" in content


def is_still(path: Path, status: os.stat_result, content: str) -> bool:
    """Whether a file has the content that was told of it, by the way it was told.

    Raises:
        OSError: The file cannot be read.
    """
    if is_told_by_time(content):
        # Runs of older versions have the stamp in place of the time.
        return content in {by_size_and_time(status), f"{status.st_size:x}-{stamp(status)}"}
    return is_hashed(status) and by_hash(path) == content
