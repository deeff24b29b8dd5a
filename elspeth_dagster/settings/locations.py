"""Where in the settings file each key stands."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from elspeth_dagster.settings.errors import Problem

KeyPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[\w$<>-]+")


@dataclass(frozen=True)
class Mark:
    """A place in a file, line and column from 1."""

    line: int
    column: int


def key_path_text(path: KeyPath) -> str:
    """Write a key path as people read it, such as `transforms[0].options.path`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{key!r}]"
    return text


def folded(path: KeyPath) -> KeyPath:
    """Give the path under which places are looked up: without regard to the case of keys."""
    return tuple(key.lower() if isinstance(key, str) else key for key in path)


@dataclass(frozen=True)
class Locations:
    """Key paths of one settings file with their places.

    Attributes:
        file: The settings file, as its path was given.
        marks: Place of each key and list item, as written.
        variables: Environment variable that set a value in the place of the file, by folded path.
    """

    file: str
    marks: Mapping[KeyPath, Mark] = field(default_factory=dict, repr=False)
    variables: dict[KeyPath, str] = field(default_factory=dict, repr=False)

    @functools.cached_property
    def _folded_marks(self) -> dict[KeyPath, Mark]:
        marks: dict[KeyPath, Mark] = {}
        for path, mark in self.marks.items():
            marks.setdefault(folded(path), mark)
        return marks

    def mark(self, path: KeyPath) -> Mark:
        """Give the place of the key, or of its nearest ancestor that stands in the file."""
        for length in range(len(path), -1, -1):
            found = self.marks.get(path[:length]) or self._folded_marks.get(folded(path[:length]))
            if found is not None:
                return found
        return Mark(0, 0)

    def variable(self, path: KeyPath) -> str | None:
        """Give the environment variable that set the value at this path, if one did."""
        wanted = folded(path)
        lengths = range(len(wanted), 0, -1)
        return next((self.variables[wanted[:n]] for n in lengths if wanted[:n] in self.variables), None)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Make a problem that points at the key, or at its nearest ancestor that stands in the file."""
        mark = self.mark(path)
        variable = self.variable(path)
        origin = f" (set by the environment variable {variable})" if variable else ""
        return Problem(self.file, mark.line, mark.column, key_path_text(path), message + origin)
