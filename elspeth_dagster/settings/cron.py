"""Cron expressions: what is wrong with one, told before Dagster sees it."""

import re
from collections.abc import Mapping, Sequence

_WORDS = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})
_MONTHS = {
    name: place
    for place, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_DAYS = {name: place for place, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_FIELDS: tuple[tuple[str, int, int, Mapping[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_ITEM = re.compile(r"(?P<first>[^-/]+)(?:-(?P<last>[^-/]+))?(?:/(?P<step>\d+))?")
_WHOLE = {31: ("?", "l"), 7: ("?",)}
"""What else a day may be, by the last one: any, or the last of the month."""

_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of each month, in the year that has most."""
_LAST_DAY = 28
"""Stands for `l`, the last of the month: a day that every month has."""


def cron_problem(text: str) -> str | None:
    """What is wrong with a cron expression; `None` if it is one that Dagster takes."""
    if text in _WORDS:
        return None
    fields = text.lower().split()
    if len(fields) != len(_FIELDS):
        return "a schedule has five fields, such as '0 6 * * *', or is a word such as '@daily'"
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for item in field.split(","):
            if not _fits(item, low, high, names):
                return f"{item!r} is no {name}; accepted: {low} to {high}, ranges, '*' and steps as in '*/5'"
    if not _occurs(fields):
        return "no month that it names has such a day, so it would never come; see its third and fourth field"
    return None


def _fits(item: str, low: int, high: int, names: Mapping[str, int]) -> bool:
    if item in _WHOLE.get(high, ()):
        return True
    found = _ITEM.fullmatch(item)
    if found is None or (found["step"] and not int(found["step"])):
        return False
    ends = [_number(end, names) for end in (found["first"], found["last"]) if end is not None]
    if found["first"] == "*":
        return found["last"] is None
    return all(end is not None and low <= end <= high for end in ends)


def _number(text: str, names: Mapping[str, int]) -> int | None:
    if text in names:
        return names[text]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= len("00") else None


def _occurs(fields: Sequence[str]) -> bool:
    """Whether there is such a day in any year: Dagster looks in vain for the next one, and then fails.

    A day of the week beside it helps nothing, though either would do: Dagster looks for both.
    """
    days, months = _values(fields[2], 2), _values(fields[3], 3)
    return min(days) <= max(_LONGEST[month - 1] for month in months)


def _values(field: str, place: int) -> set[int]:
    """Every number that a field means."""
    _, low, high, names = _FIELDS[place]
    return {value for item in field.split(",") for value in _values_of_item(item, low, high, names)}


def _values_of_item(item: str, low: int, high: int, names: Mapping[str, int]) -> Sequence[int]:
    if item == "l":
        return (_LAST_DAY,)
    found = _ITEM.fullmatch(item.replace("?", "*"))
    assert found is not None, "the item fits"
    step = int(found["step"] or 1)
    first = _number(found["first"], names)
    if first is None:
        return range(low, high + 1, step)
    if found["last"] is None and found["step"] is None:
        return (first,)
    last = high if found["last"] is None else (_number(found["last"], names) or low)
    if first < last:
        return range(first, last + 1, step)
    if first == last:  # which goes all the way round
        return range(low, high + 1, step)
    # Backwards goes round by the field's end; a step across the end comes out one too far for Dagster.
    before = range(first, high + 1, step)
    across = before[-1] + step - high
    return (*before, *range(low + (across if across > 1 else 0), last + 1, step))
