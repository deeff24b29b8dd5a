"""Token ids: a row index and a path, as bytes whose plain order is the output order, parents first.

A root is the row's index in 8 bytes, big-endian. A child is its parent's id plus one path element: a byte for
the kind, a byte for the ordinal's length, and the ordinal itself, big-endian without leading zero bytes (0 is
one zero byte).
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.rows.errors import InvalidTokenError

_ROOT_BYTES = 8
_MAX_INDEX = 2**63 - 1


class PathKind(IntEnum):
    """How a token came of its parent; the numbers are part of the id."""

    FORK = 1
    EXPLODE = 2
    MERGE = 3
    BATCH = 4


_KINDS = frozenset(PathKind)


def root_token(index: int) -> bytes:
    """The token of the row with this index."""
    return index.to_bytes(_ROOT_BYTES, "big")


def root_tokens(first: int, count: int) -> pa.Array:
    """The tokens (binary) of `count` rows from index `first`."""
    return _roots(np.arange(first, first + count, dtype=np.int64))


def root_tokens_at(indices: pa.Array) -> pa.Array:
    """The tokens (binary) of the rows with these indices (int64, no nulls)."""
    return _roots(indices.to_numpy(zero_copy_only=False))


def child(token: bytes, kind: PathKind, ordinal: int) -> bytes:
    """The token that came of `token` as number `ordinal` of its kind, from 0."""
    return token + _element(kind, ordinal)


def children(tokens: pa.Array, kind: PathKind, ordinal: int) -> pa.Array:
    """For each token, its child with this ordinal."""
    return pc.binary_join_element_wise(tokens, pa.scalar(_element(kind, ordinal), pa.binary()), b"")


def children_at(tokens: pa.Array, kind: PathKind, ordinals: pa.Array) -> pa.Array:
    """For each token, its child with the ordinal of the same position (integers, no nulls)."""
    codes = ordinals.dictionary_encode()
    elements = [_element(kind, ordinal) for ordinal in codes.dictionary.to_pylist()]
    suffixes = pa.array(elements, pa.binary()).take(codes.indices)
    return pc.binary_join_element_wise(tokens, suffixes, b"")


def row_index(token: bytes) -> int:
    """The index of the row that a token belongs to."""
    return int.from_bytes(token[:_ROOT_BYTES], "big")


def row_indices(tokens: pa.Array) -> pa.Array:
    """The index (int64) of the row that each token belongs to."""
    roots = pc.binary_slice(tokens, 0, _ROOT_BYTES)
    _, offsets, data = roots.buffers()
    first = np.frombuffer(offsets, np.int32, len(roots) + 1)[roots.offset] if len(roots) else 0
    indices = np.frombuffer(data, ">i8", len(roots), offset=int(first)) if len(roots) else np.empty(0, ">i8")
    return pa.array(indices.astype(np.int64))


def token_path(token: bytes) -> tuple[tuple[PathKind, int], ...]:
    """The path elements of a token from its row on, as (kind, ordinal).

    Raises:
        InvalidTokenError: The bytes are not a token's id.
    """
    return tuple(_elements(token))


def token_text(token: bytes) -> str:
    """How a token is shown: `42`, or `42/fork:1/explode:0`.

    Raises:
        InvalidTokenError: The bytes are not a token's id.
    """
    elements = [f"{kind.name.lower()}:{ordinal}" for kind, ordinal in _elements(token)]
    return "/".join([str(row_index(token)), *elements])


def parse_token_text(text: str) -> bytes:
    """The token that `token_text` shows as `text`.

    Raises:
        InvalidTokenError: The text shows no token.
    """
    root, *path = text.split("/")
    token = root_token(_number(root, text))
    for part in path:
        kind, _, ordinal = part.partition(":")
        if kind not in _BY_WORD:
            raise InvalidTokenError(text)
        token = child(token, _BY_WORD[kind], _number(ordinal, text))
    return token


_BY_WORD = {kind.name.lower(): kind for kind in PathKind}


def _roots(indices: "np.ndarray[Any, np.dtype[np.int64]]") -> pa.Array:
    offsets = np.arange(0, (len(indices) + 1) * _ROOT_BYTES, _ROOT_BYTES, dtype=np.int32)
    data = indices.astype(">i8").tobytes()
    return pa.Array.from_buffers(
        pa.binary(), len(indices), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)]
    )


def _element(kind: PathKind, ordinal: int) -> bytes:
    length = max(1, (ordinal.bit_length() + 7) // 8)
    return bytes((kind, length)) + ordinal.to_bytes(length, "big")


def _elements(token: bytes) -> Iterator[tuple[PathKind, int]]:
    if len(token) < _ROOT_BYTES:
        raise InvalidTokenError(token.hex())
    at = _ROOT_BYTES
    while at < len(token):
        length = token[at + 1] if at + 1 < len(token) else 0
        digits = token[at + 2 : at + 2 + length]
        if token[at] not in _KINDS or not length or len(digits) < length:
            raise InvalidTokenError(token.hex())
        yield PathKind(token[at]), int.from_bytes(digits, "big")
        at += 2 + length


def _number(digits: str, text: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(_MAX_INDEX))):
        raise InvalidTokenError(text)
    number = int(digits)
    if number > _MAX_INDEX:
        raise InvalidTokenError(text)
    return number
