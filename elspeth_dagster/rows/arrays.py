"""Work on Arrow text arrays that Arrow's own kernels have no function for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_LAST_ASCII = 0x7F


def mapped(values: pa.Array, mask: pa.Array, change: Callable[[Any], str]) -> pa.Array:
    """`values` with those where `mask` is true replaced by `change` of each, one by one.

    Args:
        values: Text (string).
        mask: Boolean per value; null counts as false.
        change: From the Python value to its new text.
    """
    return patched(values, mask, values, change)


def patched(texts: pa.Array, mask: pa.Array, values: pa.Array, change: Callable[[Any], str]) -> pa.Array:
    """`texts` with those where `mask` is true replaced by `change` of the value at the same place.

    Args:
        texts: Text (string), one per value.
        mask: Boolean per value; null counts as false.
        values: What `change` gets, as Python values; none of the masked ones is null.
        change: From a value to its text.
    """
    if not pc.any(mask).as_py():
        return texts
    new = pa.array(list(map(change, values.filter(mask).to_pylist())), pa.string())
    return pc.replace_with_mask(texts, mask.fill_null(False), new)


def filled(texts: pa.Array, text: str) -> pa.Array:
    """`texts` (string) with `text` for null."""
    return texts.fill_null(text) if texts.null_count else texts


def holds_any(texts: pa.Array, characters: bytes, *, controls: bool = False, non_ascii: bool = False) -> bool:
    """Whether any text (string) holds one of some ASCII characters; far cheaper than asking which one does.

    Args:
        texts: The texts.
        characters: What to look for.
        controls: Whether to look for the characters below U+0020 too.
        non_ascii: Whether to look for those past U+007F too.
    """
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return False
    places = np.frombuffer(offsets, np.int32)
    held = np.frombuffer(data, np.uint8)[places[texts.offset] : places[texts.offset + len(texts)]]
    if not held.size:
        return False
    if (controls and held.min() < ord(" ")) or (non_ascii and held.max() > _LAST_ASCII):
        return True
    return any((held == character).any() for character in characters)


def texts_from_separated(data: bytes, separator: int, count: int) -> pa.Array:
    """The `count` texts (string) that `data` holds with one separator byte between them."""
    if not count:
        return pa.array([], pa.string())
    buffer = np.frombuffer(data, np.uint8)
    is_separator = buffer == separator
    ends = np.append(np.flatnonzero(is_separator), len(buffer))
    offsets = np.zeros(count + 1, np.int32)
    offsets[1:] = ends - np.arange(count)
    content = buffer[~is_separator].tobytes()
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(content)]
    return pa.Array.from_buffers(pa.string(), count, buffers)


def joined_by_shape(
    cells: Mapping[str, pa.Array],
    shapes: Sequence[tuple[str, ...]],
    shape: pa.Array,
    join: Callable[[tuple[str, ...], Mapping[str, pa.Array], int], pa.Array],
) -> pa.Array:
    """One text per row (string), made by `join` for all rows of a shape at once.

    Args:
        cells: A text array for every key of any shape.
        shapes: The key tuples.
        shape: Index into `shapes` per row (int32).
        join: Gets a key tuple, the cells of the rows that have it, and how many those are.
    """
    if len(shapes) == 1:
        return join(shapes[0], cells, len(shape))
    codes = shape.to_numpy(zero_copy_only=False)
    used = np.unique(codes).tolist()
    if len(used) == 1:
        return join(shapes[used[0]], cells, len(shape))
    pieces, places = [pa.array([], pa.string())], []
    for code in used:
        keys = shapes[code]
        where = np.flatnonzero(codes == code)
        rows = pa.array(where)
        pieces.append(join(keys, {key: cells[key].take(rows) for key in keys}, len(where)))
        places.append(where)
    order = np.empty(len(codes), np.int64)
    if places:
        order[np.concatenate(places)] = np.arange(len(codes))
    return pa.concat_arrays(pieces).take(pa.array(order))


def concatenated(parts: Sequence[pa.Array | str], count: int) -> pa.Array:
    """Arrays (string, no nulls) and constant texts, joined row by row.

    Args:
        parts: What to join; constants and arrays in any order.
        count: How many rows there are.
    """
    merged: list[pa.Array | str] = [""]
    for part in parts:
        if isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    if len(merged) == 1:
        return pa.repeat(pa.scalar(merged[0], pa.string()), count)
    return pc.binary_join_element_wise(*merged, "")
