"""Digests: of a table's content, of what a commit holds, and of the commit itself."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.accounting import Tally
from elspeth_dagster.landscape.model import FAILED_TRY
from elspeth_dagster.rows.canonical import canonical_text

VOLATILE = frozenset({"arrived_us"})
"""Columns that differ when the same work is done again, and are left out of a content digest."""

# Where a file lies is no part of what it says, and the ids are the database's own.
_PLACES = frozenset({"path", "rendered_path", "commit_id", "run_id", "edge_id"})


def json_digest(value: Any) -> str:
    """SHA-256 (hex) of a value's canonical form."""
    return hashlib.sha256(canonical_text(value).encode()).hexdigest()


class TableHasher:
    """Folds a table's content, slice by slice, into a digest that does not depend on how it is laid out.

    Offsets, chunking, slicing, dictionary encoding and absent validity buffers make no difference; names,
    order and logical types of columns, the schema's metadata, nulls and values do.
    """

    def __init__(self) -> None:
        self._header: list[Any] | None = None
        self._rows = 0
        self._streams: dict[str, Any] = {}

    def update(self, table: pa.Table) -> None:
        """Adds the rows of one more slice, which must have the schema of the first."""
        if self._header is None:
            self._header = _header(table.schema)
        self._rows += table.num_rows
        columns = [
            column
            for name, column in zip(table.column_names, table.columns, strict=True)
            if name not in VOLATILE
        ]
        for index, column in enumerate(columns):
            for array in column.chunks:
                self._feed(str(index), array)

    def hexdigest(self) -> str:
        """The digest of everything added so far, in hex."""
        streams = {path: stream.hexdigest() for path, stream in self._streams.items()}
        return json_digest({"header": self._header, "rows": self._rows, "streams": streams})

    def _feed(self, path: str, array: pa.Array) -> None:
        kind = array.type
        if pa.types.is_dictionary(kind):
            array = array.dictionary_decode()
        elif isinstance(kind, pa.ExtensionType):
            array = array.storage
        elif pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
            array = array.cast(pa.large_binary())
        if pa.types.is_null(array.type) or len(array) == 0:
            return
        if array.null_count:
            self._add_fixed(path + "?", array.is_valid().cast(pa.uint8()))
            array = array.drop_null()
        else:
            self._add(path + "?", b"\x01" * len(array), len(array))
        if len(array):
            self._feed_values(path, array)

    def _feed_values(self, path: str, array: pa.Array) -> None:
        """Adds an array without nulls."""
        kind = array.type
        if pa.types.is_struct(kind):
            for index, child in enumerate(array.flatten()):
                self._feed(f"{path}.{index}", child)
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            self._add_fixed(path + "#", pc.list_value_length(array).cast(pa.int32()))
            self._feed(path + ".[]", array.flatten())
        elif _is_variable(kind):
            self._add_fixed(path + "#", pc.binary_length(array).cast(pa.int32()))
            self._add_variable(path, array)
        elif pa.types.is_boolean(kind):
            self._add_fixed(path, array.cast(pa.uint8()))
        else:
            self._add_fixed(path, array)

    def _add_fixed(self, path: str, array: pa.Array) -> None:
        width = array.type.bit_width // 8
        data = array.buffers()[1]
        self._add(path, data.slice(array.offset * width, len(array) * width), len(array) * width)

    def _add_variable(self, path: str, array: pa.Array) -> None:
        wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
        _, offsets, data = array.buffers()
        view = memoryview(offsets).cast("B").cast("q" if wide else "i")
        start, end = view[array.offset], view[array.offset + len(array)]
        if end > start:
            self._add(path, data.slice(start, end - start), end - start)

    def _add(self, path: str, data: Any, size: int) -> None:
        stream = self._streams.get(path)
        if stream is None:
            stream = self._streams[path] = hashlib.sha256()
        stream.update(memoryview(data)[:size])


def table_digest(table: pa.Table) -> str:
    """The content digest (hex) of one table; see `TableHasher`."""
    hasher = TableHasher()
    hasher.update(table)
    return hasher.hexdigest()


def settled(name: str, table: pa.Table) -> pa.Table:
    """What of a segment's rows must come out the same when the work is done again.

    How often a call failed before it succeeded is chance: tries that another one followed are left out.

    Args:
        name: The segment's table.
        table: Its rows.
    """
    if name == "states" and pc.any(pc.greater(table["try"], 1)).as_py():
        ended = table.filter(pc.or_(pc.is_valid(table["to"]), pc.is_valid(table["outcome"])))
        column = ended.schema.get_field_index("try")
        return ended.set_column(column, ended.field(column), pa.repeat(pa.scalar(1, pa.int16()), len(ended)))
    if name == "errors" and table.num_rows:
        tried = pc.equal(table["kind"].cast(pa.string()), FAILED_TRY)
        return table.filter(pc.invert(tried)) if pc.any(tried).as_py() else table
    return table


def content_digest(
    *, tables: Mapping[str, str], tallies: Iterable[Tally], parts: Iterable[Any], facts: Mapping[str, Any]
) -> str:
    """The digest (hex) by which two results of the same work are compared.

    Args:
        tables: Content digest of each table that has rows, by table name.
        tallies: The commit's tallies, in any order.
        parts: What identifies each part's content, in order.
        facts: Other JSON that belongs to the result.
    """
    return json_digest(
        {"tables": dict(tables), "tallies": tally_rows(tallies), "parts": list(parts), "facts": dict(facts)}
    )


def commit_digest(
    *,
    key: Mapping[str, Any],
    made_by: Mapping[str, Any],
    content: str,
    extra: Mapping[str, Any],
    rows: Mapping[str, Iterable[Mapping[str, Any]]],
) -> str:
    """The digest (hex) that proves that what a commit recorded was not altered.

    It can be computed again from the catalogue. It does not depend on which attempt made the commit, or when.

    Args:
        key: Run, phase, node and ordinal.
        made_by: Versions of engine and plugins.
        content: The content digest.
        extra: The commit's extra content.
        rows: The rows that it added to the catalogue's tables, by table, in any order.
    """
    proven = {
        table: sorted(canonical_text(_said(row)) for row in table_rows) for table, table_rows in rows.items()
    }
    facts = {"content": content, "extra": dict(extra), "made_by": dict(made_by)}
    return json_digest(
        {"key": dict(key), **facts, "rows": {table: found for table, found in proven.items() if found}}
    )


def _said(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of the catalogue says; a column that was not given is stored as null."""
    return {name: value for name, value in row.items() if name not in _PLACES and value is not None}


def tally_rows(tallies: Iterable[Tally]) -> list[list[Any]]:
    """Tallies as sorted lists of JSON values."""
    return sorted([t.node, t.measure.value, t.label, t.target, t.count] for t in tallies)


def _header(schema: pa.Schema) -> list[Any]:
    columns = [[field.name, _logical(field.type)] for field in schema if field.name not in VOLATILE]
    metadata = sorted((key.hex(), value.hex()) for key, value in (schema.metadata or {}).items())
    return [columns, [list(pair) for pair in metadata]]


def _logical(kind: pa.DataType) -> str:
    """A type's name without what is only layout."""
    if pa.types.is_dictionary(kind):
        return _logical(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return "string"
    if pa.types.is_large_binary(kind) or pa.types.is_binary(kind) or pa.types.is_binary_view(kind):
        return "binary"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"list<{_logical(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return "struct<" + ",".join(f"{field.name!r}:{_logical(field.type)}" for field in kind) + ">"
    return str(kind)


def _is_variable(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_large_binary(kind)
    )
