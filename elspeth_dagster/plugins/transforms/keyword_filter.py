"""The `keyword_filter` transform (settings reference, 4.5)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BeforeValidator, Field

from elspeth_dagster.plugins.base import Reason, Transform, Transformed
from elspeth_dagster.plugins.sinks.kinds import Kind, kinds_of
from elspeth_dagster.plugins.transforms.common import TransformOptions, kept, places
from elspeth_dagster.plugins.transforms.patterns import Texts, compile_pattern
from elspeth_dagster.plugins.transforms.texts import Mask, texts_of, to_mask
from elspeth_dagster.rows.fields import OBSERVED, Schema
from elspeth_dagster.rows.rows import Column, Rows

_ALL = "all"
_NONE = -1
_NO_TEXT = -2

_Name = Annotated[str, Field(min_length=1)]


def _as_list(value: Any) -> Any:
    if value == _ALL:
        return []
    if value == []:
        raise ValueError("names no field")
    return [value] if isinstance(value, str) else value


def _checked(pattern: str) -> str:
    compile_pattern(pattern)
    return pattern


class KeywordFilterOptions(TransformOptions):
    """Options of `keyword_filter`."""

    fields: Annotated[tuple[_Name, ...], BeforeValidator(_as_list)] = Field(
        description="A field, a list of fields, or `all`: every field that holds text."
    )
    blocked_patterns: Annotated[tuple[Annotated[str, AfterValidator(_checked)], ...], Field(min_length=1)] = (
        Field(description="Regular expressions as Python has them, searched for anywhere in a text.")
    )


class KeywordFilter(Transform):
    """Sets rows aside in whose texts a pattern is found."""

    Options = KeywordFilterOptions
    changes_rows: ClassVar[bool] = False
    keeps_fields: ClassVar[bool] = True

    def __init__(self, options: KeywordFilterOptions, schema: Schema = OBSERVED) -> None:
        super().__init__(options, schema)
        self._patterns = tuple(map(compile_pattern, options.blocked_patterns))
        self._all = not options.fields

    def apply(self, rows: Rows) -> Transformed:
        """Searches column by column; the first field with something to report speaks for its row."""
        errors: dict[int, Reason] = {}
        for name, where, found in self._all_fields(rows) if self._all else self._named_fields(rows):
            for position in np.flatnonzero(where & (found != _NONE)).tolist():
                if position not in errors:
                    errors[position] = self._reason(rows.columns[name], name, position, int(found[position]))
        return Transformed(kept(rows, errors), errors)

    def fields_read(self) -> Mapping[str, Sequence[str]]:
        """See `Plugin.fields_read`."""
        return {} if self._all else {"fields": self.options.fields}

    def _named_fields(self, rows: Rows) -> Iterator[tuple[str, Mask, npt.NDArray[np.int16]]]:
        for field in self.options.fields:
            for name, where in places(rows, field):
                texts = texts_of(rows.columns[name])
                found = self._found(Texts(texts))
                found[to_mask(texts.is_null(), len(texts))] = _NO_TEXT
                yield name, to_mask(where, rows.num_rows), found

    def _all_fields(self, rows: Rows) -> Iterator[tuple[str, Mask, npt.NDArray[np.int16]]]:
        found: Mapping[str, npt.NDArray[np.int16]] = {
            name: self._found(Texts(texts_of(column))) for name, column in rows.columns.items()
        }
        for keys, positions in rows.groups():
            where = np.zeros(rows.num_rows, dtype=bool)
            where[slice(None) if positions is None else positions.to_numpy()] = True
            for name in keys:
                yield name, where, found[name]

    def _found(self, texts: Texts) -> npt.NDArray[np.int16]:
        """Per text the index of the first pattern found in it, or `_NONE`."""
        found = np.full(len(texts.values), _NONE, np.int16)
        if not texts.present.any():
            return found
        for index, pattern in enumerate(self._patterns):
            found[pattern.matches(texts) & (found == _NONE)] = index
        return found

    def _reason(self, column: Column, name: str, position: int, found: int) -> Reason:
        one = column.slice(position, 1)
        if found == _NO_TEXT:
            kind = Kind(int(kinds_of(one)[0])).label
            return {"reason": "non_string_field", "field": name, "found": kind}
        pattern = self._patterns[found]
        text = one.to_python()[0]
        match = pattern.regex.search(text)
        start, end = match.span() if match else (0, 0)
        return {
            "reason": "blocked_content",
            "field": name,
            "pattern": pattern.text,
            "position": start,
            "match_length": end - start,
            "text_length": len(text),
        }
