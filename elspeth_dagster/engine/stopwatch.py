"""Measuring how long something takes."""

import time
from collections.abc import Callable
from typing import Any

Stopwatch = Callable[[Callable[[], Any]], tuple[Any, int]]
"""Does something, and gives its result and how long it took (µs)."""


def by_the_clock(work: Callable[[], Any]) -> tuple[Any, int]:
    """Does something, and says how long it took (µs)."""
    began = time.monotonic_ns()
    result = work()
    return result, (time.monotonic_ns() - began) // 1000
