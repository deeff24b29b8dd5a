"""Patterns for Arrow's regular expressions (RE2), where they provably mean the same on ASCII text.

Single characters are written as the very set of ASCII characters that Python matches there. What is left are
constructs that mean the same in both: sequence, alternatives, groups, repeats, and the few assertions below.
Whether there is a match does not depend on greediness, so that is left out.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.plugins.transforms import pattern_trees as trees
from elspeth_dagster.plugins.transforms.pattern_trees import Character, Item, Tree

_ASSERTIONS = {"AT_BEGINNING_STRING": r"\A", "AT_END_STRING": r"\z", "AT_BOUNDARY": r"\b"}
_NOTHING = r"[^\x{0}-\x{10FFFF}]"
_MULTILINE = 8


def ascii_re2(tree: Tree) -> str | None:
    """The RE2 pattern that finds a match in just the ASCII texts in which `re` finds one, if there is one."""
    try:
        pattern = _sequence(tree.items, tree.flags)
        pc.match_substring_regex(pa.array(["x"]), pattern)
    except (_UntranslatableError, pa.ArrowInvalid):
        return None
    return pattern


class _UntranslatableError(Exception):
    """A construct that does not mean the same in both, or that is not known to."""


def _sequence(items: tuple[Item, ...], flags: int) -> str:
    return "".join(_translate(operator, argument, flags) for operator, argument in items)


def _translate(operator: Any, argument: Any, flags: int) -> str:
    match operator, argument:
        case _ if operator in trees.SINGLE:
            return _character_class(Character.of((operator, argument), flags))
        case trees.BRANCH, (_, alternatives):
            return "(?:" + "|".join(_sequence(tuple(items), flags) for items in alternatives) + ")"
        case trees.SUBPATTERN, (_, add, remove, items):
            return "(?:" + _sequence(tuple(items), trees.inner_flags(flags, add, remove)) + ")"
        case trees.MAX_REPEAT | trees.MIN_REPEAT, (least, most, items):
            count = "," if most is trees.MAXREPEAT else f",{most}"
            return f"(?:{_sequence(tuple(items), flags)}){{{least}{count}}}"
        case trees.AT, place:
            return _assertion(str(place), flags)
    raise _UntranslatableError


def _assertion(place: str, flags: int) -> str:
    if place == "AT_BEGINNING" and not flags & _MULTILINE:
        return r"\A"
    if place not in _ASSERTIONS:
        raise _UntranslatableError
    return _ASSERTIONS[place]


def _character_class(character: Character) -> str:
    codes = sorted(map(ord, trees.ascii_characters(character)))
    if not codes:
        return _NOTHING
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(f"\\x{{{first:X}}}-\\x{{{last:X}}}" for first, last in ranges) + "]"
