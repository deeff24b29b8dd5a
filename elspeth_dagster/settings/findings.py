"""Collects what is wrong or in vain in one settings file, so that all of it is told at once."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from elspeth_dagster.settings.errors import Problem
from elspeth_dagster.settings.locations import KeyPath, Locations


@dataclass
class Findings:
    """Problems and warnings found so far.

    Attributes:
        locations: Where each key stands.
        problems: What forbids to use the file.
        warnings: What is accepted, but does not do what its author may expect.
    """

    locations: Locations
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, path: KeyPath, message: str) -> None:
        """Add a problem at the key."""
        self.problems.append(self.locations.problem(path, message))

    def errors(self, found: Iterable[tuple[KeyPath, str]]) -> None:
        """Add several problems, each with its key."""
        for path, message in found:
            self.error(path, message)

    def warn(self, path: KeyPath, message: str) -> None:
        """Add a warning at the key."""
        self.warnings.append(self.locations.problem(path, message))
