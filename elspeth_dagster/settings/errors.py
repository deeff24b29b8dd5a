"""What is wrong with a settings file, and where."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from elspeth_dagster.errors import ElspethError


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong with a settings file.

    Attributes:
        file: The settings file, as its path was given.
        line: Line from 1; 0 when the file as a whole is meant.
        column: Column from 1; 0 when the file as a whole is meant.
        key_path: Where in the document, such as `transforms[0].options.path`; empty for the root.
        message: What was found, what is accepted and, where a name is wrong, the nearest valid one.
    """

    file: str
    line: int
    column: int
    key_path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key_path, self.message) if part)


class SettingsError(ElspethError):
    """A settings file cannot be used; holds every problem found, in the order of the file.

    Attributes:
        problems: All problems, sorted by their place in the file.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems)))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def nearest(name: str, accepted: Iterable[str]) -> str | None:
    """Give the accepted name that is most like `name`, or None when none is like it."""
    names = {candidate.lower(): candidate for candidate in accepted}
    found = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return names[found[0]] if found else None


def did_you_mean(name: str, accepted: Iterable[str]) -> str:
    """Give the end of a message that names the nearest accepted name, or empty text when none is near."""
    found = nearest(name, accepted)
    return f"; did you mean '{found}'?" if found else ""
