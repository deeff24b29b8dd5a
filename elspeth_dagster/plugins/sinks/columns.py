"""Which columns a text file gets: the declared ones, then every other key by first occurrence."""

from collections import ChainMap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.sinks.facts import Facts, Group, facts_of, locate_groups, without
from elspeth_dagster.plugins.sinks.file import Fold, Layout
from elspeth_dagster.plugins.sinks.headers import Headers
from elspeth_dagster.plugins.sinks.kinds import plain_type
from elspeth_dagster.plugins.sinks.text import Encoding
from elspeth_dagster.rows.rows import Rows, Shape

_REMEDY = (
    "the file's columns stand once it has a header: add the column to that line, "
    "or send such rows to a json sink with `format: jsonl`, where each row names its own"
)


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
    _kinds: dict[str, set[str]] = field(default_factory=dict)
    """Field to the kinds of its values."""

    def __post_init__(self) -> None:
        for name in self.declared:
            header = self.headers.of_column(name, self._owners)
            # A source's header may be anything; without a column the rows that have the field are refused.
            if self.encoding.can_express(header):
                self._owners.setdefault(header, name)

    def take(self, facts: Facts) -> bool:
        """Takes in the groups, unless one is refused."""
        before = dict(self._owners)
        if any(self.admit(group.shape) is not None for group in facts.groups):
            self._owners = before
            return False
        self._add_kinds(facts)
        return True

    def take_rows(self, rows: Rows, diverted: pa.Array | None) -> dict[int, Reason]:
        """Refuses whole groups, since only keys count."""
        refused = refused_groups(rows, diverted, self.admit)
        accepted, marks = without(rows, diverted, refused)
        self._add_kinds(facts_of(accepted, marks, kinds=True))
        return refused

    def layout(self) -> Layout:
        """The columns so far, or those of the existing file."""
        headers = tuple(self._owners) if self.existing is None else tuple(self.existing)
        owners = tuple(self._owners.get(header) for header in headers)
        types = tuple("string" if name is None else plain_type(self._kinds.get(name, ())) for name in owners)
        return Layout(owners, headers, types, continues=self.existing is not None)

    def admit(self, shape: Shape) -> Reason | None:
        """Takes in the columns of rows with these keys, or says why they are refused."""
        new: dict[str, str] = {}
        owners = ChainMap(new, self._owners)
        for name in shape:
            header = self.headers.of_column(name, owners)
            owner = owners.get(header)
            if owner is None:
                reason = self._impossible(name, header)
                if reason is not None:
                    return reason
                new[header] = name
            elif owner != name:
                return _duplicate(name, header, owner)
        self._owners.update(new)
        return None

    def _add_kinds(self, facts: Facts) -> None:
        for name, kinds in facts.kinds.items():
            self._kinds.setdefault(name, set()).update(kinds)

    def _impossible(self, name: str, header: str) -> Reason | None:
        if self.existing is not None and header not in self.existing:
            return {"reason": "not_in_existing_file", "field": name, "header": header, "detail": _REMEDY}
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
        return refused_groups(rows, diverted, self._admit)

    def layout(self) -> Layout:
        """All keys so far."""
        names = tuple(self._names)
        return Layout(names, tuple(map(self.headers.of, names)), continues=self.continues)

    def _admit(self, shape: Shape) -> Reason | None:
        reason = self._clash(shape)
        if reason is None:
            self._names.update(dict.fromkeys(shape))
        return reason

    def _add(self, groups: Iterable[Group]) -> None:
        self._names.update(dict.fromkeys(name for group in groups for name in group.shape))

    def _clash(self, shape: Shape) -> Reason | None:
        owners: dict[str, str] = {}
        for name in shape:
            header = self.headers.of(name)
            owner = owners.setdefault(header, name)
            if owner != name:
                return _duplicate(name, header, owner)
        return None


def refused_groups(
    rows: Rows, diverted: pa.Array | None, admit: Callable[[Shape], Reason | None]
) -> dict[int, Reason]:
    """Position to reason of the rows whose keys are refused, shapes being asked about by first occurrence."""
    refused: dict[int, Reason] = {}
    for located in locate_groups(rows, diverted):
        reason = admit(located.group.shape)
        if reason is not None:
            refused.update(dict.fromkeys(located.places(rows.num_rows), reason))
    return refused


def no_columns(layout: Layout) -> Reason | None:
    """The reason of rows without any field, when no other row gives the file a column."""
    return None if layout.columns else {"reason": "no_columns"}


def _duplicate(name: str, header: str, owner: str) -> Reason:
    return {"reason": "duplicate_header", "field": name, "header": header, "taken_by": owner}
