"""The numbers among a column's values, and their exact sums, however they are cut into slices.

A float is a whole number of units of 2^-1127, so that floats add up exactly as integers of these units. The
sum is rounded once, at the end, which is what `math.fsum` gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from elspeth_dagster.plugins.sinks.kinds import Kind, Kinds, kinds_of
from elspeth_dagster.plugins.windows import Integers
from elspeth_dagster.rows.rows import Column

Mask = npt.NDArray[np.bool_]

_MANTISSA_BITS = 53
_UNIT_BITS = 1074 + _MANTISSA_BITS
_HALF_MANTISSA_BITS = 26
_HALF_INT_BITS = 32
_EXACT = 2**53
_EXPONENTS = 4096
_INTEGERS = (Kind.INT, Kind.WIDE_INT, Kind.BIG_INT)
# So many halves of integers add up exactly as floats.
_MOST_VALUES = 2**20


@dataclass(frozen=True)
class Numbers:
    """The numbers of a column.

    Attributes:
        kinds: The kind of every value.
        usable: Which values are numbers.
        whole: Which of them are integers.
        integers: The integers of up to 64 bits, 0 for other values.
        floats: Every number as a float, as Python rounds it; 0 where it has none.
        big: Position to value, of integers past 64 bits.
    """

    kinds: Kinds
    usable: Mask
    whole: Mask
    integers: Integers
    floats: npt.NDArray[np.float64]
    big: Mapping[int, int] = field(default_factory=dict)


def numbers_of(column: Column) -> Numbers:
    """The numbers among a column's values."""
    kinds = kinds_of(column)
    whole = np.isin(kinds, _INTEGERS)
    usable = whole | (kinds == Kind.FLOAT)
    count = len(kinds)
    values = column.values
    if not column.is_json and pa.types.is_integer(values.type):
        integers = values.fill_null(0).to_numpy()
        return Numbers(kinds, usable, whole, integers, integers.astype(np.float64))
    if not column.is_json and pa.types.is_floating(values.type):
        return Numbers(kinds, usable, whole, np.zeros(count, np.int64), values.fill_null(0.0).to_numpy())
    return _mixed(column, kinds, usable, whole)


def _mixed(column: Column, kinds: Kinds, usable: Mask, whole: Mask) -> Numbers:
    integers = np.zeros(len(kinds), np.int64)
    floats = np.zeros(len(kinds), np.float64)
    big: dict[int, int] = {}
    places = np.flatnonzero(usable)
    if len(places):
        found = column.take(pa.array(places)).to_python()
        for place, value in zip(places.tolist(), found, strict=True):
            if kinds[place] == Kind.BIG_INT:
                big[place] = value
            elif whole[place]:
                integers[place] = value
            floats[place] = _as_float(value)
    return Numbers(kinds, usable, whole, integers, floats, big)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return 0.0


def is_past_floats(value: int) -> bool:
    """Whether an integer is larger than any float."""
    try:
        float(value)
    except OverflowError:
        return True
    return False


@dataclass
class Total:
    """A sum on its way.

    Attributes:
        count: How many numbers are in it.
        is_whole: Whether all of them are integers.
        integer: The sum of the integers.
        units: The sum of all as floats, in units of 2^-1127.
        is_past_floats: Whether one of them is larger than any float.
    """

    count: int = 0
    is_whole: bool = True
    integer: int = 0
    units: int = 0
    is_past_floats: bool = False

    def add(self, other: "Total") -> None:
        """Adds the numbers of another sum."""
        self.count += other.count
        self.is_whole &= other.is_whole
        self.integer += other.integer
        self.units += other.units
        self.is_past_floats |= other.is_past_floats

    def value(self) -> int | float:
        """The sum, an integer when all numbers are.

        Raises:
            OverflowError: It is larger than any float.
        """
        if self.is_whole:
            return self.integer
        if self.is_past_floats:
            raise OverflowError("a number larger than any float")
        return self.units / (1 << _UNIT_BITS)


def totals(numbers: Numbers, groups: Integers, count: int) -> list[Total]:
    """The sum of each group.

    Args:
        numbers: The numbers; values that are none are left out.
        groups: Per value, the number of its group, from 0; -1 to leave it out.
        count: How many groups there are.
    """
    used = numbers.usable & (groups >= 0)
    counts = np.bincount(groups[used], minlength=count)
    wholes = np.bincount(groups[used & numbers.whole], minlength=count)
    integers = _integer_sums(numbers.integers, groups, used & numbers.whole, count)
    units = _unit_sums(numbers, groups, used, count, integers)
    found = [
        Total(n, n == whole, integer, unit)
        for n, whole, integer, unit in zip(counts.tolist(), wholes.tolist(), integers, units, strict=True)
    ]
    for place, value in numbers.big.items():
        if used[place]:
            total = found[int(groups[place])]
            total.integer += value
            total.is_past_floats |= is_past_floats(value)
    return found


def _integer_sums(values: Integers, groups: Integers, used: Mask, count: int) -> list[int]:
    sums = [0] * count
    chosen = values[used]
    where = groups[used]
    for start in range(0, len(chosen), _MOST_VALUES):
        part, place = chosen[start : start + _MOST_VALUES], where[start : start + _MOST_VALUES]
        high = np.bincount(place, part >> _HALF_INT_BITS, count).astype(np.int64)
        low = np.bincount(place, part & (2**_HALF_INT_BITS - 1), count).astype(np.int64)
        for group in np.flatnonzero((high != 0) | (low != 0)).tolist():
            sums[group] += (int(high[group]) << _HALF_INT_BITS) + int(low[group])
    return sums


def _unit_sums(numbers: Numbers, groups: Integers, used: Mask, count: int, integers: list[int]) -> list[int]:
    """The sums in units; integers that floats hold exactly need no second look."""
    if not numbers.big and np.abs(numbers.floats[used & numbers.whole]).max(initial=0) < _EXACT:
        rest = used & ~numbers.whole
        units = [integer << _UNIT_BITS for integer in integers]
    else:
        rest = used
        units = [0] * count
    if rest.any():
        _add_units(numbers.floats[rest], groups[rest], units)
    return units


def _add_units(values: npt.NDArray[np.float64], groups: Integers, units: list[int]) -> None:
    mantissas, exponents = np.frexp(values)
    whole = np.ldexp(mantissas, _MANTISSA_BITS).astype(np.int64)
    keys = groups * _EXPONENTS + (exponents + _UNIT_BITS - _MANTISSA_BITS)
    order = np.argsort(keys, kind="stable")
    keys, whole = keys[order], whole[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    high = np.add.reduceat(whole >> _HALF_MANTISSA_BITS, starts).tolist()
    low = np.add.reduceat(whole & (2**_HALF_MANTISSA_BITS - 1), starts).tolist()
    for key, upper, lower in zip(keys[starts].tolist(), high, low, strict=True):
        group, shift = divmod(key, _EXPONENTS)
        units[group] += ((upper << _HALF_MANTISSA_BITS) + lower) << shift
