"""Working files: tokens bound for an aggregation, on disk until its batches are swept, and other tables."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from secrets import token_hex
from typing import Any, Self

import pyarrow as pa

from elspeth_dagster.engine.travel import Arrived
from elspeth_dagster.landscape import reads, storage
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import PartFile
from elspeth_dagster.landscape.digest import table_digest
from elspeth_dagster.landscape.reads import PartRow, file_of
from elspeth_dagster.landscape.segments import read_verified
from elspeth_dagster.rows.rows import Rows

_ARRIVED = "arrived_us"


def write_inbound(folder: Path, name: str, arrived: Arrived, *, aggregation: str, ordinal: int) -> PartFile:
    """Writes tokens bound for an aggregation durably; the commit makes the file's name so.

    Args:
        folder: The attempt's folder.
        name: What the file's name begins with.
        arrived: The tokens, in token order.
        aggregation: Where they go.
        ordinal: Number among the commit's parts for this aggregation.
    """
    table = arrived.rows.to_table()
    full = table.append_column(_ARRIVED, arrived.arrived_us)
    info = {"version": arrived.version}
    return write_table(folder, name, full, target=aggregation, ordinal=ordinal, content=table, info=info)


def write_table(
    folder: Path,
    name: str,
    table: pa.Table,
    *,
    target: str,
    ordinal: int,
    content: pa.Table,
    info: dict[str, Any],
) -> PartFile:
    """Writes a table as a working file of a commit, durably but for its name.

    Args:
        folder: The attempt's folder.
        name: What the file's name begins with.
        table: The table.
        target: The node that it is for.
        ordinal: Number among the commit's parts for this node.
        content: What of it must come out the same when it is made again.
        info: What is to be known without opening it; JSON.
    """
    path = folder / f"{name}-{token_hex(4)}.arrow"
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table.combine_chunks())
    packed = sink.getvalue()
    storage.write_file(path, packed)
    return PartFile(
        target,
        ordinal,
        path,
        None,
        rows=table.num_rows,
        bytes=packed.size,
        sha256=hashlib.sha256(packed).hexdigest(),
        rendered_sha256=None,
        info=info,
        content_sha256=table_digest(content),
    )


@dataclass(frozen=True)
class Members:
    """The tokens of an aggregation, in the parts that they lie in.

    Attributes:
        landscape: Where the parts are.
        parts: The parts, in order.
    """

    landscape: Landscape
    parts: Sequence[PartRow]

    @classmethod
    def of(cls, landscape: Landscape, run_id: str, aggregation: str) -> Self:
        """All tokens of an aggregation."""
        return cls(landscape, reads.parts(landscape, run_id, aggregation))

    @cached_property
    def _starts(self) -> list[int]:
        """Per part the position of its first token, and how many there are in all."""
        return [0, *accumulate(part.rows for part in self.parts)]

    def read(self, first: int, count: int) -> Iterator[Arrived]:
        """Some tokens from position `first`, piece by piece as they lie on disk.

        Raises:
            DamagedRecordError: A file is not what was committed.
        """
        end = first + count
        for place in range(max(bisect_right(self._starts, first) - 1, 0), len(self.parts)):
            part, start = self.parts[place], self._starts[place]
            if start >= end:
                return
            if not part.rows:
                continue
            table = read_table(self.landscape, part)
            arrived = Arrived(
                Rows.from_table(table), part.info["version"], table.column(_ARRIVED).combine_chunks()
            )
            low, high = max(first - start, 0), min(end - start, part.rows)
            yield arrived if high - low == part.rows else arrived.slice(low, high - low)

    def arrivals(self) -> Iterator[pa.Array]:
        """When the tokens arrived, part by part."""
        for part in self.parts:
            yield read_table(self.landscape, part).column(_ARRIVED).combine_chunks()


def read_table(landscape: Landscape, part: PartRow) -> pa.Table:
    """A table that `write_table` wrote.

    Raises:
        DamagedRecordError: The file is not what was committed.
    """
    path = file_of(landscape, part.path)
    data = read_verified(path, size_bytes=part.bytes, sha256=part.sha256)
    with pa.ipc.open_file(pa.BufferReader(data)) as file:
        return file.read_all()
