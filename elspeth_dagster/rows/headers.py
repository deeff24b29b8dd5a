"""Header cells of a CSV file to field names: normalisation `1.0.0` of the settings reference, 2.8."""

import keyword
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from elspeth_dagster.errors import ElspethError

NORMALISATION_VERSION = "1.0.0"
MAX_COLUMNS = 10_000

_BOM = "\ufeff"
_NON_WORD = re.compile(r"\W+")
_UNDERSCORES = re.compile(r"_+")


class HeaderError(ElspethError):
    """A header from which no distinct field names can be made."""


@dataclass(frozen=True)
class Header:
    """The columns of a file.

    Attributes:
        names: Final field names in the order of the columns.
        originals: Header cells as they stood in the file, in the same order.
    """

    names: tuple[str, ...]
    originals: tuple[str, ...]

    @property
    def by_name(self) -> dict[str, str]:
        """Final field name to original header cell."""
        return dict(zip(self.names, self.originals, strict=True))


def normalise_header(original: str) -> str:
    """The field name of one header cell.

    Raises:
        HeaderError: Nothing is left of it, or what is left is no identifier.
    """
    name = unicodedata.normalize("NFC", original).strip().lower()
    name = _UNDERSCORES.sub("_", _NON_WORD.sub("_", name)).strip("_")
    if not name:
        raise HeaderError(f"header {_shown(original)} has no letter or digit to make a field name of")
    if name[0].isdigit():
        name = "_" + name
    if keyword.iskeyword(name):
        name += "_"
    if not name.isidentifier():
        raise HeaderError(f"header {_shown(original)} becomes {_shown(name)}, which is no identifier")
    return name


def header_of_cells(cells: Sequence[str], mapping: Mapping[str, str] | None = None) -> Header:
    """The header of a file from its first record.

    Args:
        cells: The cells as they stand in the file.
        mapping: Normalised name to the name wanted instead.

    Raises:
        HeaderError: Too many columns, a cell that gives no name, two that give the same, or a `mapping`
            that does not fit; the message lists every culprit.
    """
    if len(cells) > MAX_COLUMNS:
        raise HeaderError(f"{len(cells)} columns; at most {MAX_COLUMNS} are read")
    originals = tuple(cell.removeprefix(_BOM) for cell in cells)
    names, problems = [], []
    for position, cell in enumerate(originals, 1):
        try:
            names.append(normalise_header(cell))
        except HeaderError as error:
            problems.append(f"column {position}: {error}")
    if problems:
        raise HeaderError("; ".join(problems))
    _refuse_twins(names, originals)
    return Header(_renamed(names, mapping or {}), originals)


def header_of_columns(columns: Sequence[str], mapping: Mapping[str, str] | None = None) -> Header:
    """The header of a file that has none, from the names that the settings give; they are used verbatim.

    Raises:
        HeaderError: `mapping` does not fit.
    """
    return Header(_renamed(columns, mapping or {}), tuple(columns))


def _refuse_twins(names: Sequence[str], originals: Sequence[str]) -> None:
    columns: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        columns.setdefault(name, []).append(position)
    twins = [
        f"{name!r} from " + ", ".join(f"column {at + 1} ({_shown(originals[at])})" for at in positions)
        for name, positions in columns.items()
        if len(positions) > 1
    ]
    if twins:
        raise HeaderError("several columns give the same field name: " + "; ".join(twins))


def _renamed(names: Sequence[str], mapping: Mapping[str, str]) -> tuple[str, ...]:
    present = set(names)
    unknown = [name for name in mapping if name not in present]
    if unknown:
        raise HeaderError(
            f"field_mapping names {', '.join(map(repr, unknown))}, which the file does not have; "
            f"it has {', '.join(map(repr, names[:50]))}"
        )
    renamed = tuple(mapping.get(name, name) for name in names)
    collisions = [name for name, count in Counter(renamed).items() if count > 1]
    if collisions:
        raise HeaderError(f"field_mapping gives several columns the name {', '.join(map(repr, collisions))}")
    return renamed


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:100] + "…")
