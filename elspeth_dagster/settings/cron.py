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

_DAYS_OF_FEBRUARY = 29


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
    return None if _occurs(fields) else "February has no such day"


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
    """Whether there is such a day in any year: Dagster looks for the next one for ever."""
    day, month = fields[2], fields[3]
    if month not in {"2", "02", "feb"} or not all(part.isdigit() for part in day.split(",")):
        return True
    return min(map(int, day.split(","))) <= _DAYS_OF_FEBRUARY
