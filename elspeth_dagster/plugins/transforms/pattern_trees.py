"""Parsed patterns: Python's own tree of a regular expression, and what its single characters match.

The tree comes from `re._parser`, and what a node matches is found by asking `re` itself, so that nothing here
can have another opinion than `re` of what a pattern means.
"""

import importlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_parser: Any = importlib.import_module("re._parser")
_compiler: Any = importlib.import_module("re._compiler")
_constants: Any = importlib.import_module("re._constants")

LITERAL = _constants.LITERAL
NOT_LITERAL = _constants.NOT_LITERAL
ANY = _constants.ANY
IN = _constants.IN
BRANCH = _constants.BRANCH
SUBPATTERN = _constants.SUBPATTERN
ATOMIC_GROUP = _constants.ATOMIC_GROUP
ASSERT = _constants.ASSERT
ASSERT_NOT = _constants.ASSERT_NOT
AT = _constants.AT
GROUPREF = _constants.GROUPREF
GROUPREF_EXISTS = _constants.GROUPREF_EXISTS
MAX_REPEAT = _constants.MAX_REPEAT
MIN_REPEAT = _constants.MIN_REPEAT
POSSESSIVE_REPEAT = _constants.POSSESSIVE_REPEAT
MAXREPEAT = _constants.MAXREPEAT

REPEATS = frozenset({MAX_REPEAT, MIN_REPEAT, POSSESSIVE_REPEAT})
SINGLE = frozenset({LITERAL, NOT_LITERAL, ANY, IN})

_TYPE_FLAGS = int(re.ASCII | re.UNICODE | re.LOCALE)
_ASCII = "".join(map(chr, range(128)))

Item = tuple[Any, Any]


@dataclass(frozen=True)
class Tree:
    """A parsed pattern: its items, and the flags that hold at its start."""

    items: tuple[Item, ...]
    flags: int


def parse(pattern: str) -> Tree:
    """Parses a pattern that `re.compile` accepts."""
    parsed = _parser.parse(pattern)
    return Tree(tuple(parsed), parsed.state.flags)


def inner_flags(flags: int, add: int, remove: int) -> int:
    """The flags within a group such as `(?i:...)`."""
    if add & _TYPE_FLAGS:
        flags &= ~_TYPE_FLAGS
    return (flags | add) & ~remove


@dataclass(frozen=True)
class Character:
    """A node that matches one character: a literal, a class, or the dot.

    Attributes:
        key: The node, as something that can be hashed.
        flags: The flags that hold there.
    """

    key: str
    flags: int
    item: Any

    @classmethod
    def of(cls, item: Item, flags: int) -> "Character":
        """The character node of an item that is one."""
        return cls(repr(item), flags, item)

    def __hash__(self) -> int:
        return hash((self.key, self.flags))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Character) and (self.key, self.flags) == (other.key, other.flags)

    def runs(self, text: str) -> list[str]:
        """The longest pieces of a text that consist of characters which the node matches."""
        state = _parser.State()
        state.flags = self.flags
        one = _parser.SubPattern(state, [self.item])
        some = _parser.SubPattern(state, [(MAX_REPEAT, (1, MAXREPEAT, one))])
        found: list[str] = _compiler.compile(some, self.flags).findall(text)
        return found


@lru_cache(maxsize=4096)
def ascii_characters(character: Character) -> frozenset[str]:
    """The ASCII characters that a node matches."""
    return frozenset("".join(character.runs(_ASCII)))


@lru_cache(maxsize=8)
def _others(character: Character) -> str:
    """The characters past ASCII that a node matches."""
    return "".join(character.runs(_past_ascii()))


@lru_cache(maxsize=1)
def _past_ascii() -> str:
    return "".join(map(chr, [*range(0x80, 0xD800), *range(0xE000, 0x110000)]))


@lru_cache(maxsize=4096)
def overlap(one: Character, other: Character) -> bool:
    """Whether some character is matched by both nodes."""
    if one == other or ascii_characters(one) & ascii_characters(other):
        return True
    if _ascii_only(one) or _ascii_only(other):
        return False
    return bool(other.runs(_others(one)))


def _ascii_only(character: Character) -> bool:
    operator, argument = character.item
    if operator is LITERAL:
        codes = [argument]
    elif operator is IN:
        codes = [_last_code(entry) for entry in argument]
    else:
        return False
    folds = character.flags & re.IGNORECASE  # k also matches the Kelvin sign, for one
    return not folds and all(code < 128 for code in codes)


def _last_code(entry: Item) -> int:
    operator, argument = entry
    if operator is LITERAL:
        return int(argument)
    return int(argument[1]) if operator is _constants.RANGE else 0x110000
