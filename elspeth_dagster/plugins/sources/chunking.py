"""Cuts, records as they fall out of a stretch of input, gathered into chunks."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from elspeth_dagster.plugins.base import ReadRequest, SourceChunk
from elspeth_dagster.plugins.sources.files import PrefixHash
from elspeth_dagster.rows.records import Form, Records

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """Why a record could not be cut, as `kind: detail`, and what a quarantine sink gets for it."""

    reason: str
    record: Mapping[str, Any]
    raw: bytes | None = None


@dataclass(frozen=True, eq=False)
class Cut:
    """Records cut from one stretch of input.

    Attributes:
        records: The records; contiguous with those of the cut before.
        ends: Stream offset behind each of them.
        trail: What a cursor needs to know behind each of them, by the cursor's key.
    """

    records: Records
    ends: Ints
    trail: Mapping[str, Ints]

    def piece(self, start: int, stop: int) -> "Cut":
        """Some of the records."""
        trail = {key: values[start:stop] for key, values in self.trail.items()}
        return Cut(self.records.slice(start, stop - start), self.ends[start:stop], trail)


@dataclass(frozen=True)
class Finish:
    """How reading ended.

    Attributes:
        cursor: The one behind the last record, `None` when there was none.
        limited: The limit was reached; there may be more.
    """

    cursor: dict[str, Any] | None
    limited: bool


def problem_arrays(problems: Mapping[int, Problem], count: int) -> dict[str, pa.Array]:
    """The columns `raw`, `problems` and `problem_records` of records of which few have a problem."""
    if not problems:
        return {
            "raw": pa.nulls(count, pa.binary()),
            "problems": pa.nulls(count, pa.string()),
            "problem_records": pa.nulls(count, pa.string()),
        }
    found = [problems.get(position) for position in range(count)]
    return {
        "raw": pa.array([p and p.raw for p in found], pa.binary()),
        "problems": pa.array([p and p.reason for p in found], pa.string()),
        "problem_records": pa.array([p and orjson.dumps(p.record).decode() for p in found], pa.string()),
    }


def concat_records(pieces: Sequence[Records]) -> Records:
    """Contiguous records as one."""
    head = pieces[0]
    if len(pieces) == 1:
        return head
    return Records(
        head.form,
        head.first,
        pa.concat_arrays([piece.lines for piece in pieces]),
        pa.concat_arrays([piece.arrived_us for piece in pieces]),
        {name: pa.concat_arrays([piece.cells[name] for piece in pieces]) for name in head.cells},
        pa.concat_arrays([piece.raw for piece in pieces]),
        pa.concat_arrays([piece.problems for piece in pieces]),
        pa.concat_arrays([piece.problem_records for piece in pieces]),
        head.originals,
    )


def single_problem(form: Form, first: int, line: int | None, arrived_us: int, problem: Problem) -> Records:
    """One record that stands for all that could not be cut."""
    return Records(
        form,
        first,
        pa.array([line], pa.int64()),
        pa.array([arrived_us], pa.int64()),
        {},
        **problem_arrays({0: problem}, 1),
    )


def no_records(form: Form, first: int) -> Records:
    """For a chunk that has notices alone."""
    none = pa.array([], pa.int64())
    return Records(form, first, none, none, {}, **problem_arrays({}, 0))


@dataclass
class ChunkAssembler:
    """Closes chunks where the request wants it, whatever the stretches were that the input was read in.

    Attributes:
        request: What the engine asks for.
        prefix: Hash of the input so far; everything up to the end of a cut is in it before the cut comes.
        cursor: What every cursor of this source holds.
        start: Stream offset at which the next chunk starts.
        first: Index of the next chunk's first record.
    """

    request: ReadRequest
    prefix: PrefixHash
    cursor: Mapping[str, Any]
    start: int
    first: int = field(init=False)

    def __post_init__(self) -> None:
        limit = self.request.limit
        self._left = None if limit is None else max(limit - self.request.first, 0)
        self.first = self.request.first
        self._pieces: list[Cut] = []
        self._last: dict[str, Any] | None = None

    def chunks(self, cuts: Iterator[Cut]) -> Generator[SourceChunk, None, Finish]:
        """Yields the chunks; returns how it ended."""
        if self._left == 0:
            return Finish(None, limited=True)
        for cut in cuts:
            yield from self._add(cut)
            if self._left == 0:
                break
        if self._pieces:
            yield self._close()
        return Finish(self._last, limited=self._left == 0)

    def _add(self, cut: Cut) -> Iterator[SourceChunk]:
        position, size = 0, len(cut.ends)
        while position < size and self._left != 0:
            taken = self._fitting(cut.ends[position:])
            if taken:
                self._pieces.append(cut.piece(position, position + taken))
                position += taken
                self._left = None if self._left is None else self._left - taken
            full = position < size or self._count() == self.request.max_records
            if full and self._left != 0:
                yield self._close()

    def _count(self) -> int:
        return sum(len(piece.ends) for piece in self._pieces)

    def _fitting(self, ends: Ints) -> int:
        """How many of the next records the open chunk takes; an empty one takes at least one."""
        held = self._count()
        by_bytes = int(np.searchsorted(ends, self.start + self.request.max_bytes, "right"))
        wanted = min(by_bytes, self.request.max_records - held, len(ends))
        wanted = max(wanted, 0 if held else 1)
        return wanted if self._left is None else min(wanted, self._left)

    def _close(self) -> SourceChunk:
        last = self._pieces[-1]
        records = replace(concat_records([piece.records for piece in self._pieces]), first=self.first)
        end = int(last.ends[-1])
        self.first += records.num_records
        self._last = {
            **self.cursor,
            **{key: int(values[-1]) for key, values in last.trail.items()},
            "record": self.first,
            "offset": end,
            "sha256": self.prefix.digest_at(end),
        }
        chunk = SourceChunk(records, self._last, input_bytes=end - self.start)
        self.start = end
        self._pieces = []
        return chunk
