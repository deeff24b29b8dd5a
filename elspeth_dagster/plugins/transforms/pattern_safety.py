"""Whether `re` can match a pattern without trying the same text in very many ways.

A pattern is turned into an automaton with one state per character node. `re` goes through it depth-first,
so that its work is bounded by the number of paths that a text can take. Those are many when a text can go
round a loop in two ways (then there are exponentially many), when loops that follow each other can share a
text between them, or when there are very many choices outside loops. What is not sure to be harmless is
refused. A pattern that starts with an open-ended repeat may still take time that grows with the square of
the length.
"""

from collections.abc import Mapping
from itertools import combinations, product

from elspeth_dagster.plugins.transforms import pattern_trees as trees
from elspeth_dagster.plugins.transforms.pattern_automaton import (
    Automaton,
    UnsafePatternError,
    build_automaton,
    loops,
)
from elspeth_dagster.plugins.transforms.pattern_trees import Item, Tree

_MOST_PAIRS = 20_000
_MOST_SHARING = 3
_MOST_CHOICES = 12
"""Choices between ways that the same text can take, in bits: a factor of 4,096."""


def check_safe(tree: Tree) -> None:
    """Checks that `re` cannot blow up on a pattern.

    Raises:
        UnsafePatternError: It may.
    """
    _check_loops(build_automaton(tree.items, tree.flags))
    # What comes last never makes a match fail, so that nothing before it is tried in another way.
    rest = build_automaton(_without_tail(tree.items), tree.flags)
    _check_neighbours(rest)
    _check_choices(rest)


def _without_tail(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """The items without what never makes a match fail at the end: there is no going back from there."""
    while items:
        operator, argument = items[-1]
        if operator not in trees.REPEATS or operator is trees.POSSESSIVE_REPEAT:
            return items
        least, most, body = argument
        items = items[:-1]
        if least and least != most:
            return (*items, (operator, (least, least, body)))
        if least:
            return (*items, (operator, argument))
    return items


def _check_loops(automaton: Automaton) -> None:
    """Looks for a text that leads from a state of a loop back to it in two ways."""
    loop_of = loops(automaton)
    within = [
        [target for target, _ in what.following if loop_of[target] == loop_of[state] >= 0]
        for state, what in enumerate(automaton.states)
    ]
    if any(len(set(targets)) < len(targets) for targets in within):
        raise UnsafePatternError(
            "a repeat inside a repeat, or two ways to match nothing inside one, such as (a+)+"
        )
    pending = [pair for targets in within for pair in combinations(sorted(targets), 2)]
    seen = set()
    while pending:
        pair = pending.pop()
        if pair in seen or not automaton.overlap(*pair):
            continue
        seen.add(pair)
        if len(seen) > _MOST_PAIRS:
            raise UnsafePatternError("a repeat that is too large to be checked")
        for one, other in product(within[pair[0]], within[pair[1]]):
            if one == other:
                raise UnsafePatternError(
                    "a repeat within which the same text can be matched in several ways, such as (a|aa)+"
                )
            pending.append((min(one, other), max(one, other)))


def _check_neighbours(automaton: Automaton) -> None:
    """Looks for open-ended loops behind each other that can share a text, so that it can be cut anywhere."""
    loop_of = loops(automaton)
    open_loops = {
        loop_of[state]
        for state, what in enumerate(automaton.states)
        for target, turn in what.following
        if turn and loop_of[state] == loop_of[target] >= 0
    }
    for state, what in enumerate(automaton.states):
        for target, _ in what.following:
            both_open = {loop_of[state], loop_of[target]} <= open_loops
            if both_open and loop_of[state] != loop_of[target] and automaton.overlap(state, target):
                raise UnsafePatternError(
                    "two open-ended repeats next to each other that can match the same text, such as \\w+\\d+"
                )
    chain: dict[int, int] = {}  # how many loops can share a text from this one on
    for loop in sorted(open_loops, reverse=True):  # what follows a loop has higher numbers
        following = _sharing(automaton, loop, loop_of, open_loops)
        chain[loop] = 1 + max((chain[other] for other in following), default=0)
    if any(length > _MOST_SHARING for length in chain.values()):
        raise UnsafePatternError(
            f"more than {_MOST_SHARING} open-ended repeats that can share a text, such as .*a.*b.*c.*d"
        )


def _sharing(automaton: Automaton, loop: int, loop_of: Mapping[int, int], open_loops: set[int]) -> set[int]:
    """The open loops that can be reached from one of them by text that it can go round with."""
    members = [state for state, its_loop in loop_of.items() if its_loop == loop]
    pending, seen, found = list(members), set(members), set()
    while pending:
        for target, _ in automaton.states[pending.pop()].following:
            if target not in seen and any(automaton.overlap(target, member) for member in members):
                seen.add(target)
                pending.append(target)
                found.add(loop_of[target])
    return (found & open_loops) - {loop}


def _check_choices(automaton: Automaton) -> None:
    bits = 0.0
    for what in automaton.states:
        targets = [target for target, _ in what.following]
        alike = sum(
            any(i != j and automaton.overlap(one, other) for j, other in enumerate(targets))
            for i, one in enumerate(targets)
        )
        bits += max(alike, 1).bit_length() - 1
    if bits > _MOST_CHOICES:
        raise UnsafePatternError(
            "too many choices between parts that can match the same text, such as a?a?a?a?"
        )
