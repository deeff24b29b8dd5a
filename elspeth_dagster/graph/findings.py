"""What is found wrong while a graph is built, before it is known where in the file that stands."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from elspeth_dagster.expressions import Expression
from elspeth_dagster.settings.errors import Problem, did_you_mean
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.settings import Settings


@dataclass
class Findings:
    """Collects problems, and what is accepted but hardly meant, at their places in the settings file."""

    settings: Settings
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def add(self, path: KeyPath, message: str) -> None:
        """Notes a problem at a key."""
        self.problems.append(self.settings.problem(path, message))

    def shown(self, expression: Expression) -> Expression:
        """The same expression, with a text that may be shown and stored."""
        return replace(expression, text=self.settings.scrubbed(expression.text))

    def warn(self, path: KeyPath, message: str) -> None:
        """Notes at a key what does not do what its author may expect."""
        self.warnings.append(self.settings.problem(path, message))

    def unknown(self, path: KeyPath, what: str, name: str, accepted: Iterable[str]) -> None:
        """Notes a name that means nothing here, with what is accepted and the nearest of it."""
        names = tuple(accepted)
        listed = ", ".join(names) if names else "none"
        self.add(path, f"{what}; accepted: {listed}{did_you_mean(name, names)}")
