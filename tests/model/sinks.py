"""A sink's file, from the rows that come to it in token order (settings reference, 7, as 10 changes it)."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.boundary import schema_of
from model.nodes import kind_label, misfit
from model.values import Row, cell_text, json_text


@dataclass(frozen=True)
class Arrival:
    """A row that comes to a sink, with the headers of its fields at the source."""

    row: Row
    originals: Mapping[str, str]
    diverted: bool


@dataclass
class Delivered:
    """What a publish made.

    Attributes:
        content: The file's bytes; for Parquet, its columns (name, type, values).
        refused: Position to reason of the rows that are not in it.
        rows: How many are.
    """

    content: Any
    refused: dict[int, str]
    rows: int


def publish(
    sink: Mapping[str, Any], arrivals: Sequence[Arrival], source: Mapping[str, str], *, takes_any: bool
) -> Delivered:
    """Writes a sink's file; `source` has the header of each field of the source's file."""
    file = _File(sink, _headers(sink, arrivals, source), takes_any)
    refused: dict[int, str] = {}
    rows = []
    for position, arrival in enumerate(arrivals):
        reason = file.refusal(arrival)
        if reason is None:
            rows.append(arrival.row)
        else:
            refused[position] = reason
    if sink["plugin"] == "parquet" and not file.columns:
        refused |= {position: "no_columns" for position in range(len(arrivals)) if position not in refused}
        rows = []
    return Delivered(file.content(rows), refused, len(rows))


def _headers(
    sink: Mapping[str, Any], arrivals: Sequence[Arrival], source: Mapping[str, str]
) -> dict[str, str]:
    """Field to its header, for those that have another than their name."""
    option = (sink.get("options") or {}).get("headers")
    if isinstance(option, dict):
        return option
    headers: dict[str, str] = {}
    if option == "original":
        for arrival in arrivals:
            for name, header in arrival.originals.items():
                headers[name] = min(header, headers.get(name, header))
        alone = _File(sink, {}, takes_any=False)
        present = {name for arrival in arrivals if alone.unfit(arrival) is None for name in arrival.row}
        for name, header in source.items():
            if name not in present and header not in set(headers.values()) - {headers.get(name)}:
                headers.setdefault(name, header)
    return headers


@dataclass
class _File:
    sink: Mapping[str, Any]
    headers: Mapping[str, str]
    takes_any: bool
    columns: dict[str, str] = field(default_factory=dict)
    """Header to field."""
    types: dict[str, "_Type"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plugin = self.sink["plugin"]
        self.options = self.sink.get("options") or {}
        self.schema = schema_of(self.options)
        self.encoding = self.options.get("encoding", "utf-8")
        for declared in self.schema.fields:
            header = self._column_header(declared.name, self.columns)
            if self.plugin != "csv" or self._expressible(header):
                self.columns.setdefault(header, declared.name)
            if declared.type != "any":
                known = {"int": "int", "float": "float", "str": "string", "bool": "bool"}[declared.type]
                self.types[declared.name] = _Type(known, declared=True)

    def header(self, name: str) -> str:
        return self.headers.get(name, name)

    def _column_header(self, name: str, owners: Mapping[str, str]) -> str:
        header = self.header(name)
        falls_back = self.plugin != "json" and self.options.get("headers") == "original"
        return name if falls_back and owners.get(header, name) != name else header

    def unfit(self, arrival: Arrival) -> str | None:
        """Why the file cannot take a row, whatever other rows there are."""
        validate = bool(self.options.get("validate_input"))
        fixed = self.schema.mode == "fixed"
        closed = fixed and (self.plugin != "json" or validate)
        reason = None
        if not arrival.diverted:
            typed = self.plugin == "parquet"
            reason = misfit(self.schema, arrival.row, closed=closed, validate=validate, typed=typed)
        if reason is None and self.plugin == "csv":
            reason = self._inexpressible(arrival.row)
        return reason

    def refusal(self, arrival: Arrival) -> str | None:
        """Why the file cannot take a row; one that it takes may widen it."""
        reason = self.unfit(arrival)
        if reason is None and self.plugin == "json":
            reason = self._clash(arrival.row, {})
        elif reason is None:
            types = self._joined(arrival.row) if self.plugin == "parquet" else {}
            reason = types if isinstance(types, str) else self._widen(arrival.row)
            if reason is None:
                self.types.update(types)
        return reason

    def _inexpressible(self, row: Row) -> str | None:
        for name, value in row.items():
            if not self._expressible(cell_text(value)):
                return f"encoding: field {name}, encoding {self.encoding}"
        return None

    def _expressible(self, text: str) -> bool:
        try:
            text.encode(self.encoding)
        except UnicodeError:
            return False
        return True

    def _clash(self, row: Row, taken: Mapping[str, str]) -> str | None:
        owners = dict(taken)
        for name in row:
            header = self._column_header(name, owners)
            if self.plugin == "csv" and header not in owners and not self._expressible(header):
                return f"encoding: field {name}, encoding {self.encoding}"
            owner = owners.setdefault(header, name)
            if owner != name:
                return f"duplicate_header: field {name}, header {header}, taken_by {owner}"
        return None

    def _widen(self, row: Row) -> str | None:
        reason = self._clash(row, self.columns)
        if reason is None:
            for name in row:
                self.columns.setdefault(self._column_header(name, self.columns), name)
        return reason

    def _joined(self, row: Row) -> "dict[str, _Type] | str":
        joined = {}
        for name, value in row.items():
            seen = self.types.get(name, _Type())
            after = seen.join(value, lenient=self.takes_any)
            if after is None:
                expected = seen.name or "a number of 64 bits"
                return f"wrong_type: field {name}, expected {expected}, found {kind_label(value)}"
            joined[name] = after
        return joined

    def content(self, rows: Sequence[Row]) -> Any:
        if self.plugin == "parquet":
            return self._parquet(rows)
        return (self._csv(rows) if self.plugin == "csv" else self._json(rows)).encode(self.encoding)

    def _csv(self, rows: Sequence[Row]) -> str:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.options.get("delimiter", ","))
        if self.columns:
            writer.writerow(self.columns)
        for row in rows:
            writer.writerow([cell_text(row.get(name)) for name in self.columns.values()])
        return text.getvalue()

    def _json(self, rows: Sequence[Row]) -> str:
        named = [{self.header(name): value for name, value in row.items()} for row in rows]
        lines = self.options.get("format", "jsonl" if self.options["path"].endswith(".jsonl") else "json")
        if lines == "jsonl":
            return "".join(json.dumps(row) + "\n" for row in named)
        return json.dumps(named, indent=self.options.get("indent"))

    def _parquet(self, rows: Sequence[Row]) -> list[tuple[str, str, list[Any]]]:
        result = []
        for header, name in self.columns.items():
            kind = self.types.get(name, _Type()).name or "string"
            values = [row.get(name) for row in rows]
            if kind == "json":
                values = [None if value is None else json_text(value) for value in values]
            if kind == "float":
                values = [None if value is None else float(value) for value in values]
            result.append((header, kind, values))
        return result


@dataclass(frozen=True)
class _Type:
    """The type of a Parquet column, as far as it is known."""

    name: str | None = None
    wide: bool = False
    declared: bool = False
    mixed: bool = False

    def join(self, value: Any, *, lenient: bool) -> "_Type | None":
        kind = kind_label(value)
        if kind == "null" or self.mixed:
            return self
        after = self._join(kind)
        return _Type("json", mixed=True) if after is None and lenient else after

    def _join(self, kind: str) -> "_Type | None":
        wide = self.wide or kind == "int past 2^53"
        names = {"int past 2^53": "int", "int past 64 bits": None, "text": "string", "list or object": "json"}
        found = names.get(kind, kind)
        if found is None:
            return None
        if self.name in {None, found}:
            return _Type(found, wide, self.declared)
        if {self.name, found} != {"int", "float"} or wide or (self.declared and self.name == "int"):
            return None
        return _Type("float", wide, self.declared)
