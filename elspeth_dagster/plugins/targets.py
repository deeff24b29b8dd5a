"""What sinks write, as patterns: `{partition}` stands for every key that a partition can have."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import reduce

from elspeth_dagster.settings.partitions import PLACEHOLDER, Cadence

_CHARACTER, _DIGIT, _TEXT = "any character", "any digit", "any text"
_DAY = (*[_DIGIT] * 4, "-", *[_DIGIT] * 2, "-", *[_DIGIT] * 2)
_HOUR = (*_DAY, "-", *[_DIGIT] * 2, ":", *[_DIGIT] * 2)
_FILE = (_CHARACTER, _TEXT)
"""A key of a partition by file: whatever a file may be called, since any can be named at launch."""

_GLOB = {"*": _TEXT, "?": _CHARACTER}
_GLOB_PIECE = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)

_Part = Sequence[str]
"""A component of a path, character by character; text, where it holds no key."""


@dataclass(frozen=True)
class Target:
    """What a sink writes.

    Attributes:
        place: A path, or a table and its database, which may hold `{partition}`.
        owner: Whose it is.
        cadence: How long a partition is; `None` for partitions by file, and where there are none.
    """

    place: str
    owner: str
    cadence: Cadence | None = None

    @property
    def parts(self) -> tuple[_Part, ...]:
        """The components of the path: a key takes no more than one of them, and maybe less."""
        key = _key(self.cadence)
        return tuple(_with_key(part, key) for part in self.place.split("/"))


@dataclass
class _Folder:
    """What is taken below a path; or, with a target, the path itself."""

    texts: dict[str, "_Folder"] = field(default_factory=dict)
    patterns: dict[_Part, "_Folder"] = field(default_factory=dict)
    target: Target | None = None

    def below(self, part: _Part) -> "_Folder":
        if isinstance(part, str):
            return self.texts.setdefault(part, _Folder())
        return self.patterns.setdefault(part, _Folder())

    def meeting(self, parts: Sequence[_Part]) -> Iterator[Target]:
        if parts:
            for below in self._could_be(parts[0]):
                yield from below.meeting(parts[1:])
        elif self.target is not None:
            yield self.target

    def _could_be(self, part: _Part) -> Iterator["_Folder"]:
        if not isinstance(part, str):
            yield from (below for text, below in self.texts.items() if _meet(part, text))
        elif part in self.texts:
            yield self.texts[part]
        yield from (below for pattern, below in self.patterns.items() if _meet(part, pattern))


class Targets:
    """The targets that are taken, by their paths: so many are not compared each with each."""

    def __init__(self) -> None:
        self._top = _Folder()

    def take(self, target: Target) -> Target | None:
        """Takes a target, and gives one that was taken before and can turn out to be the same."""
        parts = target.parts
        other = next(self._top.meeting(parts), None)
        place = reduce(_Folder.below, parts, self._top)
        place.target = place.target or target
        return other


def could_be_watched(place: str, pattern: str) -> bool:
    """Whether what a sink writes for some arriving file could be one of a glob pattern's files.

    Args:
        place: The sink's path, which may hold `{partition}`.
        pattern: The pattern. Both are compared as they are written, so neither is looked for on a disk.
    """
    wanted = os.path.normpath(pattern).split("/")
    if wanted[-1] == "**":
        wanted.append("*")
    return _on_the_way(Target(os.path.normpath(place), "").parts, wanted)


def _on_the_way(parts: Sequence[_Part], wanted: Sequence[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] != "**":
        return bool(parts) and _is_found(parts[0], wanted[0]) and _on_the_way(parts[1:], wanted[1:])
    if _on_the_way(parts, wanted[1:]):
        return True
    return bool(parts) and _is_found(parts[0], "*") and _on_the_way(parts[1:], wanted)


def _is_found(part: _Part, wanted: str) -> bool:
    pieces = _GLOB_PIECE.findall(wanted)
    is_pattern = any(piece in _GLOB or len(piece) > 1 for piece in pieces)
    if is_pattern and part[:1] in (".", (".",)) and not wanted.startswith("."):
        return False  # a wildcard finds no name that begins with a dot
    return _meet(part, tuple(_GLOB.get(piece, piece) for piece in pieces))


def _key(cadence: Cadence | None) -> tuple[str, ...]:
    if cadence is None:
        return _FILE
    return _HOUR if cadence is Cadence.HOURLY else _DAY


def _with_key(part: str, key: tuple[str, ...]) -> _Part:
    first, *others = part.split(PLACEHOLDER)
    if not others:
        return part
    return (*first, *(character for text in others for character in (*key, *text)))


def _meet(first: _Part, second: _Part) -> bool:
    """Whether there is a text that is both."""
    ways, seen = [(0, 0)], {(0, 0)}
    while ways:
        one, two = ways.pop()
        if one == len(first) and two == len(second):
            return True
        for way in _steps(first, one, second, two):
            if way not in seen:
                seen.add(way)
                ways.append(way)
    return False


def _steps(first: _Part, one: int, second: _Part, two: int) -> Iterator[tuple[int, int]]:
    left = first[one] if one < len(first) else ""
    right = second[two] if two < len(second) else ""
    if left == _TEXT:
        yield one + 1, two
    if right == _TEXT:
        yield one, two + 1
    if left == _TEXT and right:
        yield one, two + 1
    elif right == _TEXT and left:
        yield one + 1, two
    elif left and right and _same(left, right):
        yield one + 1, two + 1


def _same(left: str, right: str) -> bool:
    if left == right or _CHARACTER in {left, right}:
        return True
    for pieces, character in ((left, right), (right, left)):
        if pieces.startswith("[") and fnmatchcase(character, pieces):
            return True
    return (left == _DIGIT and right in "0123456789") or (right == _DIGIT and left in "0123456789")
