"""Regular expressions over text columns, with the meaning of Python's `re` and bounded work.

A pattern is used through Arrow (RE2) for ASCII texts where it provably means the same there, and through `re`
otherwise. One on which `re` can blow up is refused.
"""

import re
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.plugins.transforms.pattern_automaton import UnsafePatternError
from elspeth_dagster.plugins.transforms.pattern_re2 import ascii_re2
from elspeth_dagster.plugins.transforms.pattern_safety import check_safe
from elspeth_dagster.plugins.transforms.pattern_trees import parse
from elspeth_dagster.plugins.transforms.texts import Mask, to_mask

MAX_CHARACTERS = 1000
MAX_NESTING = 50


class PatternError(ElspethError, ValueError):
    """A pattern that is not accepted; says which construct is to blame."""

    def __init__(self, pattern: str, reason: str) -> None:
        shown = pattern if len(pattern) <= 60 else pattern[:59] + "…"
        super().__init__(f"the pattern {shown!r} {reason}")


@dataclass(frozen=True)
class Pattern:
    """A pattern that is searched for in texts.

    Attributes:
        text: The pattern.
        regex: It, compiled.
        re2: The pattern for ASCII texts that RE2 takes, or `None` when `re` has to look at all.
    """

    text: str
    regex: re.Pattern[str]
    re2: str | None

    def matches(self, texts: "Texts") -> Mask:
        """Which texts have a match somewhere."""
        found = np.zeros(len(texts.values), dtype=bool)
        slow = np.flatnonzero(texts.present)
        if self.re2 is not None:
            fast = texts.values if texts.all_ascii else texts.ascii_values
            found |= to_mask(pc.match_substring_regex(fast, self.re2), len(fast))
            slow = texts.not_ascii
        search = self.regex.search
        found[slow] = [search(text) is not None for text in texts.values.take(pa.array(slow)).to_pylist()]
        return found


class Texts:
    """A text column (string, nulls allowed), with what is to be known of it for any pattern."""

    def __init__(self, values: pa.Array) -> None:
        self.values = values
        self.present = to_mask(values.is_valid(), len(values))
        is_ascii = to_mask(pc.string_is_ascii(values), len(values))
        self.not_ascii = np.flatnonzero(self.present & ~is_ascii)
        self.all_ascii = not len(self.not_ascii)
        self.ascii_values = values if self.all_ascii else pc.if_else(pa.array(is_ascii), values, None)


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Pattern:
    """Checks a pattern and prepares it.

    Raises:
        PatternError: It is empty, too long, no regular expression, or one on which `re` can blow up.
    """
    if not text:
        raise PatternError(text, "is empty, and would be found in every text")
    if len(text) > MAX_CHARACTERS:
        raise PatternError(text, f"has {len(text)} characters; the limit is {MAX_CHARACTERS}")
    if _nesting(text) > MAX_NESTING:
        raise PatternError(text, f"has groups nested more than {MAX_NESTING} deep")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what classes such as [[] may mean one day
        try:
            regex = re.compile(text)
        except (re.error, OverflowError) as error:
            raise PatternError(text, f"is no regular expression: {error}") from error
        tree = parse(text)
    try:
        check_safe(tree)
    except UnsafePatternError as error:
        raise PatternError(text, f"can take very long on some texts: it has {error}") from error
    return Pattern(text, regex, ascii_re2(tree))


def _nesting(text: str) -> int:
    """How deep groups are nested at most; an open parenthesis within a class counts, too."""
    depth = deepest = 0
    for sign in re.sub(r"\\.", "", text, flags=re.DOTALL):
        depth += (sign == "(") - (sign == ")")
        depth = max(depth, 0)
        deepest = max(deepest, depth)
    return deepest
