"""What can keep a source from being read."""

from pathlib import Path

from elspeth_dagster.errors import ElspethError


class SourceError(ElspethError):
    """The source as a whole can't be read: no file, no permission, no usable header.

    Attributes:
        place: The file, as the settings name it.
        what: What is wrong with it.
        remedy: What to do about it.
    """

    node = "source"

    def __init__(self, place: str, what: str, remedy: str) -> None:
        self.place = place
        self.what = what
        self.remedy = remedy
        super().__init__(f"{place}: {what}. {remedy}")


class SourceMissingError(SourceError):
    """There is no such file."""

    def __init__(self, place: str, path: Path) -> None:
        super().__init__(
            place,
            f"there is no such file ({path})",
            "Put it there and resume this run; or correct the path that was given, and start another.",
        )


_WAYS_ON = (
    "Put the file back as it was and resume, or resume with --restart-source, which drops what was "
    "read so far and reads the file from its start"
)


class SourceChangedError(SourceError):
    """What was read before a run stopped is no longer what the file begins with."""

    def __init__(self, place: str, offset: int, what: str) -> None:
        self.offset = offset
        super().__init__(
            place,
            f"the first {offset} bytes, which this run has read already, have changed ({what})",
            _WAYS_ON,
        )


class SourceShortenedError(SourceError):
    """The file ends before the size that it had when the run first opened it."""

    def __init__(self, place: str, size: int, end: int) -> None:
        super().__init__(
            place,
            f"had {size} bytes when this run began to read it, and ends behind byte {end} now",
            _WAYS_ON,
        )
