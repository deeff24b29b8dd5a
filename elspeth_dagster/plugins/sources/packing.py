"""Mappings that a plugin hands over one by one, packed into chunks."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

import pyarrow as pa

from elspeth_dagster.plugins.base import ReadRequest, SourceChunk
from elspeth_dagster.rows.errors import InvalidValueError
from elspeth_dagster.rows.records import Form, Records
from elspeth_dagster.rows.values import check_value, encode_value

_SHOWN_CHARACTERS = 200
_SHOWN_LEVELS = 20


def pack_mappings(mappings: Iterator[Mapping[str, Any]], request: ReadRequest) -> Iterator[SourceChunk]:
    """Yields chunks of the mappings, exact in every value and each with the time it arrived.

    One with a value that a row can't hold becomes a record with a problem. Nothing is taken from `mappings`
    beyond the request's limit.
    """
    first = request.first
    left = None if request.limit is None else max(request.limit - first, 0)
    packer = _Packer()
    with closing(_Closeable(mappings)):
        for mapping in islice(mappings, left):
            arrived_us = request.clock_us()
            packed = _pack(mapping)
            if packer.count and packer.size_bytes + len(packed.raw or b"") > request.max_bytes:
                yield packer.chunk(first)
                first, packer = first + packer.count, _Packer()
            packer.add(packed, arrived_us)
            if packer.count == request.max_records or packer.size_bytes >= request.max_bytes:
                yield packer.chunk(first)
                first, packer = first + packer.count, _Packer()
    if packer.count:
        yield packer.chunk(first)


@dataclass(frozen=True, slots=True)
class _Packed:
    raw: bytes | None
    problem: str | None = None
    shown: str | None = None


class _Closeable:
    """Ends a generator that is not used up; other iterators have nothing to close."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator

    def close(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()


@dataclass
class _Packer:
    packed: list[_Packed] = field(default_factory=list)
    arrived_us: list[int] = field(default_factory=list)
    size_bytes: int = 0

    @property
    def count(self) -> int:
        return len(self.packed)

    def add(self, packed: _Packed, arrived_us: int) -> None:
        self.packed.append(packed)
        self.arrived_us.append(arrived_us)
        self.size_bytes += len(packed.raw or packed.shown or b"")

    def chunk(self, first: int) -> SourceChunk:
        records = Records(
            Form.VALUES,
            first,
            pa.nulls(self.count, pa.int64()),
            pa.array(self.arrived_us, pa.int64()),
            {},
            pa.array([packed.raw for packed in self.packed], pa.binary()),
            pa.array([packed.problem for packed in self.packed], pa.string()),
            pa.array([packed.shown for packed in self.packed], pa.string()),
        )
        return SourceChunk(records, {"record": first + self.count}, input_bytes=self.size_bytes)


def _pack(mapping: Any) -> _Packed:
    value = dict(mapping) if isinstance(mapping, Mapping) else mapping
    try:
        check_value(value)
    except InvalidValueError as error:
        return _Packed(None, f"invalid_value: {error.reason}", encode_value(_shown(value)))
    return _Packed(encode_value(value).encode())


def _shown(value: Any) -> Any:
    shown = _holdable(value)
    return shown if isinstance(shown, dict) else {"_raw": shown}


def _holdable(value: Any, depth: int = 0) -> Any:
    """The value, or what can be shown of it: null for a number that is not finite, else a text."""
    try:
        check_value(value)
    except InvalidValueError as error:
        if depth > _SHOWN_LEVELS:
            return error.reason
        if isinstance(value, list | tuple):
            return [_holdable(item, depth + 1) for item in value]
        if isinstance(value, Mapping):
            return {_key(key): _holdable(item, depth + 1) for key, item in value.items()}
        return _shown_scalar(value, error)
    return value


def _key(key: Any) -> str:
    return _text(key if isinstance(key, str) else repr(key))


def _shown_scalar(value: Any, error: InvalidValueError) -> str | None:
    if isinstance(value, float | Decimal):
        return None
    if isinstance(value, int):
        return error.reason
    return _text(value if isinstance(value, str) else repr(value)[:_SHOWN_CHARACTERS])


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
