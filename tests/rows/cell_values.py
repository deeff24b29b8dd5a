"""Strategies for what a cell can hold."""

from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import strategies as st

# Characters that one writer or another treats apart.
ODD = '"\\/\x00\x08\t\n\x0c\r\x1f\x7f\x80é\u2028\ue000\uffff😀,:[]{}$'
texts = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), max_size=12)
floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.builds(
        lambda digits, power: float(f"{digits}e{power}"), st.integers(-(10**17), 10**17), st.integers(-30, 30)
    ),
    st.sampled_from(
        [0.0, -0.0, 1e16, 9999999999999998.0, 1e21, 1e-4, 1e-5, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308]
    ),
)
ints = st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.integers(), st.integers(-(10**30), 10**30))
safe_ints = st.integers(-(2**53) + 1, 2**53 - 1)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
dates = st.dates()
times = st.datetimes(timezones=st.just(UTC))
keys = st.one_of(texts, st.sampled_from(["a", "b", "$elspeth"]))


def containers(leaves):
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
        max_leaves=8,
    )


json_scalars = st.one_of(st.none(), st.booleans(), ints, floats, texts)
json_values = containers(json_scalars)
values = containers(st.one_of(json_scalars, decimals, dates, times, st.binary(max_size=8)))

ONE_OF_EACH = [
    True,
    1,
    2**80,
    1.5,
    'a"é\n',
    [1, [2.0, None]],
    {"b": 1, "a": {"$elspeth": ["date", "x"]}},
    Decimal("1.50"),
    date(2024, 1, 2),
    datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    b"\x00\xff",
]


def same(left, right):
    """Equal and of the same types throughout, keys in the same order."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(map(same, left.values(), right.values()))
    return repr(left) == repr(right) if isinstance(left, float | Decimal) else left == right
