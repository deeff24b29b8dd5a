"""The names that a file gives its columns (settings reference, 7.2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator

from elspeth_dagster.plugins.sinks.errors import SinkSettingsError


def _no_duplicate_targets(value: str | dict[str, str] | None) -> str | dict[str, str] | None:
    if isinstance(value, dict):
        repeated = duplicates(list(value.values()))
        if repeated:
            raise ValueError(f"several fields are given the header {repeated[0]!r}")
    return value


HeadersOption = Annotated[
    Literal["normalized", "original"] | dict[str, str] | None, AfterValidator(_no_duplicate_targets)
]
"""The option `headers`: absent, a word, or a mapping from field to header."""


@dataclass(frozen=True)
class Headers:
    """Gives the header of a field.

    Attributes:
        option: The option as it was set.
        originals: Field to its header at the source.
    """

    option: str | Mapping[str, str] | None = None
    originals: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str:
        """The header under which a field is written."""
        if isinstance(self.option, Mapping):
            return self.option.get(name, name)
        if self.option == "original":
            return self.originals.get(name, name)
        return name

    def of_column(self, name: str, owners: Mapping[str, str]) -> str:
        """The header of a field's column.

        It is the field's own name when its header at the source is that of another field's column: a field
        and what it was renamed to may come to one file.

        Args:
            name: The field.
            owners: Header to field, for the columns so far.
        """
        header = self.of(name)
        return header if self.option != "original" or owners.get(header, name) == name else name

    def of_columns(self, names: Sequence[str]) -> list[str]:
        """The headers of several columns, the first ones of a file."""
        owners: dict[str, str] = {}
        for name in names:
            owners[self.of_column(name, owners)] = name
        return list(owners)

    def check_declared(self, names: Sequence[str]) -> None:
        """Checks what is known of the columns before any row is.

        Raises:
            SinkSettingsError: Two declared fields have the same header.
        """
        repeated = duplicates([self.of(name) for name in names])
        if repeated:
            fields = [name for name in names if self.of(name) == repeated[0]]
            raise SinkSettingsError("headers", f"the fields {fields} all have the header {repeated[0]!r}")


def duplicates(names: Sequence[str]) -> list[str]:
    """The names that occur more than once, by first occurrence."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return [name for name, count in counts.items() if count > 1]
