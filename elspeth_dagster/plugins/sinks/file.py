"""Sinks that make one file: what the engine asks of them.

The engine owns the file: where it is written, how it gets its name, what is recorded. A sink decides which
rows fit, in which columns, and gives the bytes. It goes over the rows twice: once with a `Fold`, which looks
at what is known of them and fixes the file's layout, and once with a `Writer`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from elspeth_dagster.plugins.base import Reason, Sink
from elspeth_dagster.plugins.sinks.facts import Facts, facts_of
from elspeth_dagster.plugins.sinks.fit import Fit
from elspeth_dagster.rows.rows import Rows


class FileMode(Enum):
    """What happens to a file that is there already."""

    WRITE = "write"
    APPEND = "append"


@dataclass(frozen=True)
class Layout:
    """How a file is laid out.

    Attributes:
        columns: The fields in order; `None` for a column of an existing file that no field goes to.
        headers: The name of each column in the file.
        types: For a typed file, the type of each column.
        continues: Whether the rows go behind what the file has already, so that it begins no more.
    """

    columns: tuple[str | None, ...]
    headers: tuple[str, ...]
    types: tuple[str, ...] = ()
    continues: bool = False


@dataclass(frozen=True)
class Existing:
    """The file to append to, as it was before this run touched it.

    Attributes:
        path: Where it is.
        length: Its length in bytes then; what follows is not the old file's.
    """

    path: Path
    length: int


@dataclass(frozen=True)
class FoldRequest:
    """What a layout depends on beside the rows.

    Attributes:
        originals: Field to its header at the source.
        takes_any: Whether a divert edge leads to the sink, so that it has to take whatever comes.
        existing: The file to append to, when it has content.
    """

    originals: Mapping[str, str]
    takes_any: bool = False
    existing: Existing | None = None


class Fold(ABC):
    """Takes in what is known of the rows, in output order, until the layout is known."""

    @abstractmethod
    def take(self, facts: Facts) -> bool:
        """Takes in rows by their summary. False, and nothing is taken in, when some may be refused."""

    @abstractmethod
    def take_rows(self, rows: Rows, diverted: pa.Array | None) -> dict[int, Reason]:
        """Takes in rows one by one; gives position to reason for those that the file cannot take."""

    @abstractmethod
    def layout(self) -> Layout:
        """The layout that all rows taken in so far ask for."""


class Output(Protocol):
    """What a writer writes to: a file that is hashed on its way, and never sought in."""

    def write(self, data: Any) -> int:
        """Writes bytes, or what has a buffer of them."""


class Writer(ABC):
    """Writes the rows of one file, in output order."""

    @abstractmethod
    def write(self, rows: Rows) -> None:
        """Writes some rows."""

    def copy(self, rendered: Iterable[bytes]) -> None:
        """Writes rows that were rendered before, given as pieces of one whole.

        Raises:
            NotImplementedError: The sink renders nothing in advance, so it is never called.
        """
        raise NotImplementedError

    @abstractmethod
    def close(self) -> None:
        """Writes what the file ends with."""

    def abandon(self) -> None:  # noqa: B027 - most writers hold nothing
        """Called instead of `close` after an error; the file is thrown away."""


class LaidOutSink(Sink):
    """A sink that judges rows by a schema and by what a `Fold` knows of the rows before them.

    Attributes:
        kind: What it makes, as the artifact is labelled.
    """

    kind: ClassVar[str] = ""

    @property
    @abstractmethod
    def fit(self) -> Fit:
        """What each row has to fulfil by itself."""

    def misfits(self, rows: Rows, diverted: pa.Array | None) -> dict[int, Reason]:
        """Position to reason of the rows that do not fit, whatever other rows there are."""
        return self.fit.misfits(rows, diverted)

    def facts(self, rows: Rows, diverted: pa.Array | None) -> Facts:
        """The summary of rows that fit by themselves."""
        return facts_of(rows, diverted)

    @abstractmethod
    def target(self, resolve: Callable[[str], Path]) -> str:
        """What no other sink may write, absolute."""


class FileSink(LaidOutSink):
    """A sink that makes one file.

    Attributes:
        renders: Whether rows can be rendered before the layout of the whole file is known.
    """

    kind: ClassVar[str] = "file"
    renders: ClassVar[bool] = False

    @property
    @abstractmethod
    def path(self) -> str:
        """The path as the settings have it."""

    @property
    def mode(self) -> FileMode:
        """Whether the file is written anew or appended to."""
        return FileMode.WRITE

    def uri(self) -> str:
        """The path as the settings have it."""
        return self.path

    def target(self, resolve: Callable[[str], Path]) -> str:
        """The file, absolute."""
        return str(resolve(self.path))

    def replaces(self, path: str, resolve: Callable[[str], Path]) -> bool:
        """Whether it would write anew the file that a path of the settings names."""
        return self.mode is FileMode.WRITE and self.target(resolve) == str(resolve(path))

    @abstractmethod
    def fold(self, request: FoldRequest) -> Fold:
        """A fold that has taken in no row yet.

        Raises:
            ExistingFileError: The file to append to is not one that fits.
        """

    @abstractmethod
    def writer(self, output: Output, layout: Layout) -> Writer:
        """Begins the file."""

    def unwritable(self, layout: Layout) -> Reason | None:  # noqa: ARG002 - most sinks write any row
        """Why no row at all can be written in the layout that the rows asked for, if so."""
        return None

    def render(self, rows: Rows, layout: Layout) -> Sequence[Any]:
        """The bytes of some rows, piece by piece; called only for a sink that `renders`."""
        raise NotImplementedError

    def rendering(self, columns: Sequence[str], layout: Layout) -> tuple[str | None, ...]:
        """Everything of a layout that the bytes of rows with these keys depend on."""
        raise NotImplementedError

    def line_end(self) -> bytes:
        """What a file that is appended to must end with; it is added when it does not."""
        return b""

    def ends_line(self, tail: bytes) -> bool:
        """Whether a file with these last bytes, as many as `line_end` has, ends with a whole line."""
        return tail == self.line_end()

    def reading(self) -> dict[str, Any]:
        """Facts about the file that its reader needs (JSON values)."""
        return {}
