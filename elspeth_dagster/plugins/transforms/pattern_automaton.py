"""A pattern as an automaton with one state per character node (Glushkov's construction)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from elspeth_dagster.plugins.transforms import pattern_trees as trees
from elspeth_dagster.plugins.transforms.pattern_trees import Character, Item

_OPEN_ENDED = 32
"""A repeat that may go on for so many turns more than it must counts as open-ended."""

_MOST_COPIES = 64
_MOST_STATES = 2000


class UnsafePatternError(Exception):
    """A pattern that may take `re` very long; says which construct is to blame."""


def build_automaton(items: Iterable[Item], flags: int) -> "Automaton":
    """The automaton of some items; the bodies of lookarounds are parts of it that nothing leads to.

    Raises:
        UnsafePatternError: A construct for which no automaton can tell what `re` does.
    """
    builder = _Builder()
    builder.sequence(items, flags, in_loop=False)
    for body, body_flags in builder.lookarounds:  # grows meanwhile, as lookarounds hold lookarounds
        builder.sequence(body, body_flags, in_loop=False)
    return builder.automaton


@dataclass
class State:
    """A character node, or a backreference, which may match any text.

    Attributes:
        character: `None` for a backreference.
        following: The states that can come next, once per way to get there, and whether that way is another
            turn of an open-ended repeat.
    """

    character: Character | None
    following: list[tuple[int, bool]] = field(default_factory=list)


@dataclass
class Automaton:
    """The states of a pattern."""

    states: list[State] = field(default_factory=list)

    def overlap(self, one: int, other: int) -> bool:
        """Whether two states can match the same character."""
        a, b = self.states[one].character, self.states[other].character
        return a is None or b is None or trees.overlap(a, b)

    def join(self, ends: Iterable[int], starts: Iterable[int], *, turn: bool = False) -> None:
        """Lets each of some states be followed by each of others."""
        starts = list(starts)
        for end in ends:
            self.states[end].following.extend((start, turn) for start in starts)


@dataclass(frozen=True)
class _Piece:
    """A part of a pattern.

    Attributes:
        empty: In how many ways it can match nothing; 2 stands for more, too.
        first: The states that it can begin with, once per way.
        last: The states that it can end with, once per way.
    """

    empty: int
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()

    def or_empty(self) -> "_Piece":
        """The same, or nothing."""
        return _Piece(min(self.empty + 1, 2), self.first, self.last)


_EMPTY = _Piece(1)
_NEVER = _Piece(0)


class _Builder:
    """Makes an automaton of a parse tree."""

    def __init__(self) -> None:
        self.automaton = Automaton()
        self.lookarounds: list[tuple[tuple[Item, ...], int]] = []
        self.open_groups: set[int] = set()
        self._by_operator: dict[Any, Callable[[Any, int, bool], _Piece]] = {
            trees.BRANCH: self._branch,
            trees.GROUPREF_EXISTS: self._conditional,
            trees.SUBPATTERN: self._group,
            trees.ATOMIC_GROUP: self._atomic,
            trees.ASSERT: self._lookaround,
            trees.ASSERT_NOT: self._lookaround,
            trees.GROUPREF: self._reference,
        }

    def sequence(self, items: Iterable[Item], flags: int, *, in_loop: bool) -> _Piece:
        whole = _EMPTY
        for item in items:
            whole = self._then(whole, self._item(item, flags, in_loop=in_loop))
        return whole

    def _then(self, one: _Piece, other: _Piece) -> _Piece:
        self.automaton.join(one.last, other.first)
        return _Piece(
            min(one.empty * other.empty, 2),
            one.first + other.first * one.empty,
            one.last * other.empty + other.last,
        )

    def _item(self, item: Item, flags: int, *, in_loop: bool) -> _Piece:
        operator, argument = item
        if operator in trees.SINGLE:
            return self._state(Character.of(item, flags))
        if operator in trees.REPEATS:
            return self._repeat(argument, flags, in_loop=in_loop)
        build = self._by_operator.get(operator)
        if build is None:
            return _EMPTY if operator is trees.AT else _NEVER
        return build(argument, flags, in_loop)

    def _branch(self, argument: Any, flags: int, in_loop: bool) -> _Piece:
        return self._either(argument[1], flags, in_loop=in_loop)

    def _conditional(self, argument: Any, flags: int, in_loop: bool) -> _Piece:
        return self._either((argument[1], argument[2] or ()), flags, in_loop=in_loop)

    def _group(self, argument: Any, flags: int, in_loop: bool) -> _Piece:
        group, add, remove, body = argument
        if group is not None and _has_open_repeat(body):
            self.open_groups.add(group)
        return self.sequence(body, trees.inner_flags(flags, add, remove), in_loop=in_loop)

    def _atomic(self, argument: Any, flags: int, in_loop: bool) -> _Piece:
        return self.sequence(argument, flags, in_loop=in_loop)

    def _lookaround(self, argument: Any, flags: int, in_loop: bool) -> _Piece:
        body = argument[1]
        if in_loop and _has_open_repeat(body):
            raise UnsafePatternError("a lookaround with an open-ended repeat, inside a repeat")
        self.lookarounds.append((tuple(body), flags))
        return _EMPTY

    def _reference(self, group: int, _flags: int, in_loop: bool) -> _Piece:
        if in_loop:
            raise UnsafePatternError("a backreference inside a repeat, such as (a)(?:b\\1)+")
        piece = self._state(None)
        if group in self.open_groups:
            self.automaton.join(piece.last, piece.first, turn=True)
        return piece.or_empty()

    def _state(self, character: Character | None) -> _Piece:
        states = self.automaton.states
        if len(states) >= _MOST_STATES:
            raise UnsafePatternError("repeats that make it too large to be checked")
        states.append(State(character))
        return _Piece(0, (len(states) - 1,), (len(states) - 1,))

    def _either(self, alternatives: Iterable[Any], flags: int, *, in_loop: bool) -> _Piece:
        pieces = [self.sequence(items, flags, in_loop=in_loop) for items in alternatives]
        return _Piece(
            min(sum(piece.empty for piece in pieces), 2),
            tuple(state for piece in pieces for state in piece.first),
            tuple(state for piece in pieces for state in piece.last),
        )

    def _repeat(self, argument: Any, flags: int, *, in_loop: bool) -> _Piece:
        least, most, body = argument
        if most == 0:
            return _EMPTY
        if most == 1:
            piece = self.sequence(body, flags, in_loop=in_loop)
            return piece.or_empty() if least == 0 else piece
        open_ended = most is trees.MAXREPEAT or most - least >= _OPEN_ENDED
        if len(body) == 1 and body[0][0] in trees.SINGLE:
            return self._characters(Character.of(body[0], flags), least, most, open_ended=open_ended)
        piece = self.sequence(body, flags, in_loop=True)
        if piece.empty:
            raise UnsafePatternError("a repeated group that can match nothing, such as (a*)*")
        self.automaton.join(piece.last, piece.first, turn=open_ended)
        return piece.or_empty() if least == 0 else piece

    def _characters(self, character: Character, least: int, most: int, *, open_ended: bool) -> _Piece:
        """A repeated character: a state for each turn of a fixed number, else a loop."""
        if least == most <= _MOST_COPIES:
            whole = _EMPTY
            for _ in range(least):
                whole = self._then(whole, self._state(character))
            return whole
        loop = self._state(character)
        self.automaton.join(loop.last, loop.first, turn=open_ended)
        return loop.or_empty() if least == 0 else loop


def _has_open_repeat(items: Iterable[Item]) -> bool:
    return any(_is_open_repeat(item) for item in _all_items(items))


def _is_open_repeat(item: Item) -> bool:
    operator, argument = item
    return operator in trees.REPEATS and (
        argument[1] is trees.MAXREPEAT or argument[1] - argument[0] >= _OPEN_ENDED
    )


def _all_items(items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        yield item
        operator, argument = item
        match operator, argument:
            case trees.BRANCH, (_, alternatives):
                for body in alternatives:
                    yield from _all_items(body)
            case trees.GROUPREF_EXISTS, (_, body, otherwise):
                yield from _all_items(body)
                yield from _all_items(otherwise or ())
            case trees.ATOMIC_GROUP, body:
                yield from _all_items(body)
            case ((trees.SUBPATTERN | trees.ASSERT | trees.ASSERT_NOT), (*_, body)):
                yield from _all_items(body)
            case _ if operator in trees.REPEATS:
                yield from _all_items(argument[2])


def loops(automaton: Automaton) -> dict[int, int]:
    """For each state the loop (strongly connected component) that it is in, or -1 when it is in none."""
    order: list[int] = []
    seen: set[int] = set()
    for root in range(len(automaton.states)):
        _visit(automaton, root, seen, order)
    backwards: dict[int, list[int]] = {state: [] for state in range(len(automaton.states))}
    for state, what in enumerate(automaton.states):
        for target, _ in what.following:
            backwards[target].append(state)
    loop_of: dict[int, int] = {}
    for root in reversed(order):
        if root in loop_of:
            continue
        members, pending = [], [root]
        loop_of[root] = root
        while pending:
            state = pending.pop()
            members.append(state)
            for target in backwards[state]:
                if target not in loop_of:
                    loop_of[target] = root
                    pending.append(target)
        itself = any(target == root for target, _ in automaton.states[root].following)
        if len(members) == 1 and not itself:
            loop_of[root] = -1
    return loop_of


def _visit(automaton: Automaton, root: int, seen: set[int], order: list[int]) -> None:
    """Appends the states that can be reached and have not been seen, each behind those that it leads to."""
    if root in seen:
        return
    seen.add(root)
    stack = [(root, iter([target for target, _ in automaton.states[root].following]))]
    while stack:
        state, targets = stack[-1]
        target = next((candidate for candidate in targets if candidate not in seen), None)
        if target is None:
            order.append(state)
            stack.pop()
        else:
            seen.add(target)
            stack.append((target, iter([follower for follower, _ in automaton.states[target].following])))
