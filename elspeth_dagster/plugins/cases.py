"""Combinations of what holds for rows, so that it is decided once for all rows of which the same holds."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]


def combine(facts: Sequence[npt.NDArray[np.integer]]) -> tuple[list[tuple[int, ...]], Codes]:
    """The combinations that occur, sorted.

    Args:
        facts: For each fact, a small non-negative number per row; at least one fact.

    Returns:
        The combinations, and for each row the index of its own.
    """
    used, index = np.unique(facts[0], return_inverse=True)
    cases: list[tuple[int, ...]] = [(code,) for code in used.tolist()]
    for fact in facts[1:]:
        width = int(fact.max(initial=0)) + 1
        used, index = np.unique(index * width + fact, return_inverse=True)
        cases = [(*cases[code // width], code % width) for code in used.tolist()]
    return cases, index.astype(np.int64, copy=False)
