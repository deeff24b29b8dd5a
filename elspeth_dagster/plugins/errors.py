"""What can be wrong with a plugin before any row reaches it."""

from collections.abc import Iterable
from dataclasses import dataclass

from elspeth_dagster.errors import ElspethError

OptionPath = tuple[str | int, ...]


@dataclass(frozen=True)
class OptionProblem:
    """One thing that is wrong with a node's options.

    Attributes:
        path: Keys and list positions from `options` to the culprit.
        message: What was found and what is accepted.
    """

    path: OptionPath
    message: str


class OptionsError(ElspethError):
    """A node's options do not fit its plugin.

    Attributes:
        problems: Each thing that is wrong.
    """

    def __init__(self, plugin: str, problems: Iterable[OptionProblem]) -> None:
        self.problems = tuple(problems)
        listed = "; ".join(f"{'.'.join(map(str, p.path))}: {p.message}" for p in self.problems)
        super().__init__(f"options of plugin '{plugin}': {listed}")


class UnknownPluginError(ElspethError):
    """A settings file names a plugin that is not there."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str) -> None:
        listed = ", ".join(known) or "none"
        super().__init__(f"there is no {kind} plugin '{name}'; installed: {listed}{hint}")


class MisplacedPluginError(ElspethError):
    """A transform of batches stands where one of rows has to, or the other way round."""

    def __init__(self, name: str, *, takes_batches: bool, known: Iterable[str]) -> None:
        listed = ", ".join(known) or "none"
        if takes_batches:
            message = (
                f"'{name}' takes batches of rows; it goes into 'aggregations', with a trigger; "
                f"transforms of rows: {listed}"
            )
        else:
            message = f"'{name}' takes rows one by one; an aggregation takes a transform of batches: {listed}"
        super().__init__(message)


class AmbiguousPluginError(ElspethError):
    """Several plugins claim one name."""

    def __init__(self, kind: str, name: str, origins: Iterable[str]) -> None:
        super().__init__(
            f"the {kind} plugin name '{name}' is claimed by {' and by '.join(origins)}; rename one of them"
        )


class BrokenPluginError(ElspethError):
    """A plugin's code cannot be loaded, or is not what a plugin has to be.

    Attributes:
        reason: Why, without the plugin's name and place.
    """

    def __init__(self, name: str, origin: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the plugin '{name}' ({origin}) cannot be used: {reason}")
