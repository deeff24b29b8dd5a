"""Finds out which of many do not go together with the others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Thing = TypeVar("Thing")


def at_fault(
    things: Sequence[Thing], fault_of: Callable[[Sequence[Thing]], str | None]
) -> list[tuple[Thing, str]]:
    """Those without which the others are in order, each with what is wrong once it is there.

    Of two that do not go together it is the second. Halves are tried before single ones: for one out of
    two hundred that is some fifteen tries.

    Args:
        things: All of them.
        fault_of: What is wrong with some of them together; `None` if nothing is.
    """
    kept: list[Thing] = []
    found: list[tuple[Thing, str]] = []
    waiting = [things]
    while waiting:
        some = waiting.pop()
        fault = fault_of([*kept, *some])
        if fault is None:
            kept += some
        elif len(some) == 1:
            found.append((some[0], fault))
        else:
            half = len(some) // 2
            waiting += [some[half:], some[:half]]
    return found
