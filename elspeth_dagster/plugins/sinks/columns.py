"""Which columns a text file gets: the declared ones, then every other key by first occurrence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.sinks.facts import Facts, Group, locate_groups
from elspeth_dagster.plugins.sinks.file import Fold, Layout
from elspeth_dagster.plugins.sinks.headers import Headers
from elspeth_dagster.plugins.sinks.text import Encoding
from elspeth_dagster.rows.rows import Rows, Shape


@dataclass
class ColumnsFold(Fold):
    """Collects the columns of a file that has a header.

    A row is refused when one of its fields cannot have a column: its header belongs to another field already,
    cannot be expressed in the file's encoding, or is not in the file that is appended to.

    Attributes:
        headers: Gives each field its header.
        encoding: Of the file.
        existing: The header of the file that is appended to.
    """

    headers: Headers
    encoding: Encoding
    declared: Sequence[str] = ()
    existing: Sequence[str] | None = None
    _owners: dict[str, str] = field(default_factory=dict)
    """Header to the field that has it, in column order."""

    def __post_init__(self) -> None:
        for name in self.declared:
            self._owners.setdefault(self.headers.of(name), name)

    def take(self, facts: Facts) -> bool:
        """Takes in the groups, unless one is refused."""
        before = dict(self._owners)
        if all(self._admit(group.shape) is None for group in facts.groups):
            return True
        self._owners = before
        return False

    def take_rows(self, rows: Rows, diverted: pa.Array | None) -> dict[int, Reason]:
        """Refuses whole groups, since only keys count."""
        refused: dict[int, Reason] = {}
        for located in locate_groups(rows, diverted):
            reason = self._admit(located.group.shape)
            if reason is not None:
                positions = located.positions
                where = range(rows.num_rows) if positions is None else positions.to_pylist()
                refused.update(dict.fromkeys(where, reason))
        return refused

    def layout(self) -> Layout:
        """The columns so far, or those of the existing file."""
        if self.existing is not None:
            owners = tuple(self._owners.get(header) for header in self.existing)
            return Layout(owners, tuple(self.existing), continues=True)
        return Layout(tuple(self._owners.values()), tuple(self._owners))

    def _admit(self, shape: Shape) -> Reason | None:
        new: dict[str, str] = {}
        for name in shape:
            header = self.headers.of(name)
            owner = self._owners.get(header) or new.get(header)
            if owner is None:
                reason = self._impossible(name, header)
                if reason is not None:
                    return reason
                new[header] = name
            elif owner != name:
                return {"reason": "duplicate_header", "field": name, "header": header, "taken_by": owner}
        self._owners.update(new)
        return None

    def _impossible(self, name: str, header: str) -> Reason | None:
        if self.existing is not None and header not in self.existing:
            return {"reason": "not_in_existing_file", "field": name, "header": header}
        if not self.encoding.can_express(header):
            return {"reason": "encoding", "field": name, "encoding": self.encoding.name}
        return None


@dataclass
class KeysFold(Fold):
    """Collects the keys of a file in which every row names its own.

    Attributes:
        headers: Gives each field its name in the file.
        continues: Whether the file has content already.
    """

    headers: Headers
    continues: bool = False
    _names: dict[str, None] = field(default_factory=dict)

    def take(self, facts: Facts) -> bool:
        """Takes in the groups, unless one is refused."""
        if any(self._clash(group.shape) for group in facts.groups):
            return False
        self._add(facts.groups)
        return True

    def take_rows(self, rows: Rows, diverted: pa.Array | None) -> dict[int, Reason]:
        """Refuses rows of which two fields would have the same name."""
        refused: dict[int, Reason] = {}
        for located in locate_groups(rows, diverted):
            reason = self._clash(located.group.shape)
            if reason is None:
                self._add([located.group])
            else:
                positions = located.positions
                where = range(rows.num_rows) if positions is None else positions.to_pylist()
                refused.update(dict.fromkeys(where, reason))
        return refused

    def layout(self) -> Layout:
        """All keys so far."""
        names = tuple(self._names)
        return Layout(names, tuple(map(self.headers.of, names)), continues=self.continues)

    def _add(self, groups: Iterable[Group]) -> None:
        self._names.update(dict.fromkeys(name for group in groups for name in group.shape))

    def _clash(self, shape: Shape) -> Reason | None:
        owners: dict[str, str] = {}
        for name in shape:
            header = self.headers.of(name)
            owner = owners.setdefault(header, name)
            if owner != name:
                return {"reason": "duplicate_header", "field": name, "header": header, "taken_by": owner}
        return None
