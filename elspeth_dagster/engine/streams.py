"""All rows bound for a sink, in token order, whatever parts they lie in."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.engine.parts import Bound, PartInfo, concat_bound, read_part
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.reads import PartRow, file_of


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a sink's output.

    Attributes:
        load: Gives the rows.
        part: The part of which these are all rows, `None` for rows of several parts.
    """

    load: Callable[[], Bound]
    part: PartRow | None = None

    @cached_property
    def info(self) -> PartInfo | None:
        """What is known of the rows without loading them."""
        return None if self.part is None else PartInfo.from_json(self.part.info)


def pieces_of(
    landscape: Landscape, streams: Iterable[Iterator[PartRow]], on_disorder: Callable[[str, str], Exception]
) -> Iterator[Piece]:
    """A sink's output piece by piece; no more than a part per stream is in memory.

    Args:
        landscape: Where the parts are.
        streams: The sink's parts, for each phase and node those that it left, in order.
        on_disorder: Makes the error for two tokens (hex) that are in the wrong order.
    """
    opened = [_Stream(landscape, parts, on_disorder) for parts in streams]
    heads = [stream for stream in opened if stream.advance()]
    while heads:
        yield _next_piece(heads)
        heads = [stream for stream in heads if stream.head is not None or stream.advance()]


@dataclass(frozen=True)
class _Head:
    """What is left of a stream's present part."""

    piece: Piece
    first: str
    last: str


class _Stream:
    """Parts whose rows follow each other."""

    def __init__(
        self, landscape: Landscape, parts: Iterator[PartRow], on_disorder: Callable[[str, str], Exception]
    ) -> None:
        self._landscape = landscape
        self._parts = (part for part in parts if part.rows)
        self._on_disorder = on_disorder
        self._last = ""
        self.head: _Head | None = None

    def advance(self) -> bool:
        """Goes to the next part, if there is one."""
        part = next(self._parts, None)
        if part is None:
            self.head = None
            return False
        piece = Piece(lambda: _load(self._landscape, part), part)
        first, last = str(part.info["first_token"]), str(part.info["last_token"])
        if first <= self._last:
            raise self._on_disorder(self._last, first)
        self._last = last
        self.head = _Head(piece, first, last)
        return True

    def take_until(self, token: str) -> Bound | None:
        """The rows up to a token (hex), which leave the stream."""
        head = self.head
        if head is None or head.first > token:
            return None
        bound = head.piece.load()
        if head.last <= token:
            self.head = None
            return bound
        limit = pa.scalar(bytes.fromhex(token), pa.binary())
        count = pc.sum(pc.less_equal(bound.rows.tokens, limit)).as_py()
        rest = bound.slice(count, bound.rows.num_rows - count)
        self.head = replace(head, piece=Piece(lambda: rest), first=rest.rows.tokens[0].as_py().hex())
        return bound.slice(0, count)


def _next_piece(streams: Sequence[_Stream]) -> Piece:
    """The rows that come next, a whole part where its rows are alone."""
    heads = sorted(
        (stream.head.first, stream.head.last, i) for i, stream in enumerate(streams) if stream.head
    )
    _, last, chosen = heads[0]
    head = streams[chosen].head
    if head is not None and (len(heads) == 1 or last < heads[1][0]):
        streams[chosen].head = None
        return head.piece
    until = min(last for _, last, _ in heads)
    merged = concat_bound([bound for stream in streams if (bound := stream.take_until(until)) is not None])
    ordered = merged.take(pc.sort_indices(merged.rows.tokens))
    return Piece(lambda: ordered)


def _load(landscape: Landscape, part: PartRow) -> Bound:
    return read_part(file_of(landscape, part.path), size_bytes=part.bytes, sha256=part.sha256)
