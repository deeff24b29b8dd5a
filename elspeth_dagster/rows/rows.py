"""Rows in memory: columns plus a shape per row, so that absent is not null and key order is kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Self

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.rows.arrays import filled
from elspeth_dagster.rows.canonical import canonical_cells, canonical_floats, canonical_objects, hash_rows
from elspeth_dagster.rows.domain import MARKER
from elspeth_dagster.rows.once import once
from elspeth_dagster.rows.texts import are_containers, csv_cells, json_cells, json_objects, needs_no_escape
from elspeth_dagster.rows.values import build_column, decode_value

Shape = tuple[str, ...]

_META = b"elspeth.rows"
_ID = "token"
_SHAPE = "shape"
_PREFIX = "c:"
# Texts that are kept once they are made; several of them may be one and the same array.
_TEXTS = frozenset({"canonical", "json_texts", "csv_texts", "exact_texts"})


class Logical(Enum):
    """How a column's values are kept."""

    NATIVE = "native"
    JSON = "json"


@dataclass(frozen=True, eq=False)
class Column:
    """One key's values over the rows of a slice.

    Attributes:
        values: One value per row; Arrow null where it is null or the key is absent from the row's shape.
        logical: NATIVE for the Arrow type's own values, JSON for exact, order-preserving JSON text
            (`rows/values.py`) in a string array.
    """

    values: pa.Array
    logical: Logical = Logical.NATIVE

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """Builds the column of some Python values, native when they are all of one native type."""
        array, is_json = build_column(list(values))
        return cls(array, Logical.JSON if is_json else Logical.NATIVE)

    @property
    def is_json(self) -> bool:
        """Whether the values are JSON text."""
        return self.logical is Logical.JSON

    @once
    def canonical(self) -> pa.Array:
        """Canonical JSON text per row (`null` for nulls)."""
        if pa.types.is_floating(self.values.type):
            return canonical_floats(self.values, self.json_texts)
        return canonical_cells(self.values, self.is_json)

    @once
    def json_texts(self) -> pa.Array:
        """Each value as `json.dumps` writes it, `null` for nulls; see `rows/texts.py`."""
        kind = self.values.type
        whole = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
        if whole or (not self.is_json and pa.types.is_string(kind) and needs_no_escape(self.values)):
            return self.canonical
        return json_cells(self.values, self.is_json)

    @once
    def csv_texts(self) -> pa.Array:
        """Each value as a CSV cell holds it, before quoting, empty for nulls; see `rows/texts.py`."""
        kind = self.values.type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if not self.values.null_count and (number or (self.is_json and are_containers(self.values))):
            return self.json_texts
        return csv_cells(self.values, self.is_json)

    @once
    def exact_texts(self) -> pa.Array:
        """Exact, order-preserving JSON text of each value (`rows/values.py`), `null` for nulls."""
        if self.is_json:
            return filled(self.values, "null")
        kind = self.values.type
        plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        if plain or pa.types.is_string(kind) or pa.types.is_null(kind):
            return self.json_texts
        return self.canonical

    def where(self, mask: pa.Array | None, other: "Column") -> "Column":
        """This column's value where `mask` is true (`None`: everywhere), the other's elsewhere."""
        if mask is None:
            return self
        if self.logical is other.logical and self.values.type == other.values.type:
            return Column(pc.if_else(mask, self.values, other.values), self.logical)
        own, others = self.to_python(), other.to_python()
        chosen = zip(mask.to_pylist(), own, others, strict=True)
        return Column.of([value if mine else another for mine, value, another in chosen])

    def to_python(self) -> list[Any]:
        """The values as Python objects, `None` for null or absent."""
        values = self.values.to_pylist()
        if self.is_json:
            return [None if text is None else decode_value(text) for text in values]
        return values  # type: ignore[no-any-return]

    def filter(self, mask: pa.Array) -> "Column":
        """The rows where `mask` is true."""
        return self._derived(lambda array: array.filter(mask))

    def take(self, indices: pa.Array) -> "Column":
        """The rows at `indices`, in that order."""
        return self._derived(lambda array: array.take(indices))

    def slice(self, offset: int, length: int) -> "Column":
        """`length` rows from `offset`."""
        return self._derived(lambda array: array.slice(offset, length))

    def _derived(self, change: Callable[[pa.Array], pa.Array]) -> "Column":
        """Some of the values, with those of their texts that are known."""
        column = Column(change(self.values), self.logical)
        done = {id(self.values): column.values}
        for name in _TEXTS & self.__dict__.keys():
            texts = self.__dict__[name]
            if id(texts) not in done:
                done[id(texts)] = change(texts)
            column.__dict__[name] = done[id(texts)]
        return column


@dataclass(frozen=True, eq=False)
class Rows:
    """A slice of rows on their way through the graph.

    Attributes:
        tokens: Token ids (binary), one per row; see `rows/tokens.py`.
        shapes: The ordered key tuples that occur.
        shape: Per row, the index of its key tuple in `shapes` (int32).
        columns: A column for every key of any shape.
        originals: Field name to original source header, for fields that came from one.
    """

    tokens: pa.Array
    shapes: tuple[Shape, ...]
    shape: pa.Array
    columns: Mapping[str, Column]
    originals: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def uniform(
        cls, tokens: pa.Array, columns: Mapping[str, Column], originals: Mapping[str, str] | None = None
    ) -> Self:
        """Rows that all have the same keys, in the order of `columns`."""
        shape = pa.repeat(pa.scalar(0, pa.int32()), len(tokens))
        return cls(tokens, (tuple(columns),), shape, columns, originals or {})

    @classmethod
    def from_dicts(
        cls, tokens: pa.Array, dicts: Sequence[Mapping[str, Any]], originals: Mapping[str, str] | None = None
    ) -> Self:
        """Rows of Python mappings, one per token.

        Raises:
            InvalidValueError: A value that a row cannot hold.
        """
        index: dict[Shape, int] = {}
        shape = [index.setdefault(tuple(row), len(index)) for row in dicts]
        names = dict.fromkeys(name for keys in index for name in keys)
        columns = {name: Column.of([row.get(name) for row in dicts]) for name in names}
        return cls(tokens, tuple(index), pa.array(shape, pa.int32()), columns, originals or {})

    @classmethod
    def concat(cls, pieces: Sequence["Rows"]) -> "Rows":
        """The rows of all pieces, one after another.

        A column that is of one type in every piece keeps it; otherwise it is built again from its values,
        so that its type does not depend on how the rows were cut. Of originals that differ, the smallest
        counts.
        """
        if len(pieces) == 1:
            return pieces[0]
        index: dict[Shape, int] = {}
        shapes = []
        for piece in pieces:
            mapping = pa.array([index.setdefault(keys, len(index)) for keys in piece.shapes], pa.int32())
            shapes.append(mapping.take(piece.shape))
        names = dict.fromkeys(name for keys in index for name in keys)
        columns = {name: _concat_column([_column_of(piece, name) for piece in pieces]) for name in names}
        originals: dict[str, str] = {}
        for piece in pieces:
            for name, original in piece.originals.items():
                originals[name] = min(original, originals.get(name, original))
        tokens = pa.concat_arrays([piece.tokens for piece in pieces])
        rows = cls(tokens, tuple(index), pa.concat_arrays(shapes), columns, originals)
        if all("hashes" in piece.__dict__ for piece in pieces):
            rows.__dict__["hashes"] = pa.concat_arrays([piece.hashes for piece in pieces])
        return rows

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self.tokens)

    @property
    def num_bytes(self) -> int:
        """Bytes that the columns' values take in memory."""
        return sum(column.values.nbytes for column in self.columns.values())

    @once
    def hashes(self) -> pa.Array:
        """SHA-256 of each row's canonical form (fixed-size binary of 32)."""
        cells = {name: column.canonical for name, column in self.columns.items()}
        return hash_rows(cells, self.shapes, self.shape)

    def filter(self, mask: pa.Array) -> "Rows":
        """The rows where `mask` is true, in order."""
        return self._derived(lambda array: array.filter(mask), lambda column: column.filter(mask))

    def take(self, indices: pa.Array) -> "Rows":
        """The rows at `indices`, in that order."""
        return self._derived(lambda array: array.take(indices), lambda column: column.take(indices))

    def slice(self, offset: int, length: int) -> "Rows":
        """`length` rows from `offset`."""
        return self._derived(
            lambda array: array.slice(offset, length), lambda column: column.slice(offset, length)
        )

    def _derived(self, on_array: Any, on_column: Any) -> "Rows":
        columns = {name: on_column(column) for name, column in self.columns.items()}
        rows = Rows(on_array(self.tokens), self.shapes, on_array(self.shape), columns, self.originals)
        if "hashes" in self.__dict__:
            rows.__dict__["hashes"] = on_array(self.hashes)
        return rows

    def with_tokens(self, tokens: pa.Array) -> "Rows":
        """The same rows under other tokens."""
        rows = replace(self, tokens=tokens)
        if "hashes" in self.__dict__:
            rows.__dict__["hashes"] = self.hashes
        return rows

    def as_column(self) -> Column:
        """Each row as the value of one column, with its texts, which need not be parsed for them."""
        column = Column(self.objects(), Logical.JSON)
        cells = {name: held.canonical for name, held in self.columns.items()}
        column.__dict__["canonical"] = canonical_objects(cells, self.shapes, self.shape)
        alike = all(held.exact_texts is held.json_texts for held in self.columns.values())
        if alike and not self._marked():
            column.__dict__["json_texts"] = column.values
        return column

    def objects(self) -> pa.Array:
        """Each row as one exact JSON object, keys in the row's own order (string)."""
        cells = {name: column.exact_texts for name, column in self.columns.items()}
        texts = json_objects(cells, self.shapes, self.shape)
        if not self._marked():
            return texts
        marked = pa.array([MARKER in keys for keys in self.shapes], pa.bool_()).take(self.shape)
        wrapped = pc.binary_join_element_wise(f'{{"{MARKER}": ["object", ', texts, "]}", "")
        return pc.if_else(marked, wrapped, texts)

    def _marked(self) -> bool:
        """Whether any row may have the key that only a wrapped object can show as one of its own."""
        return any(MARKER in keys for keys in self.shapes)

    def groups(self) -> Iterator[tuple[Shape, pa.Array | None]]:
        """Each shape that has rows, with those rows' positions (int64), or `None` when it has them all."""
        if len(self.shapes) == 1 or self.num_rows == 0:
            if self.num_rows:
                yield self.shapes[0], None
            return
        used = pc.unique(self.shape).to_pylist()
        if len(used) == 1:
            yield self.shapes[used[0]], None
            return
        for code in sorted(used):
            yield self.shapes[code], pc.indices_nonzero(pc.equal(self.shape, code)).cast(pa.int64())

    def to_dicts(self) -> list[dict[str, Any]]:
        """Every row as a mapping with its own keys in their order."""
        values = {name: column.to_python() for name, column in self.columns.items()}
        result: list[dict[str, Any]] = [{}] * self.num_rows
        for keys, positions in self.groups():
            columns = [values[name] for name in keys]
            where = range(self.num_rows) if positions is None else positions.to_pylist()
            for position in where:
                result[position] = {
                    name: column[position] for name, column in zip(keys, columns, strict=True)
                }
        return result

    def to_table(self) -> pa.Table:
        """A table that `from_table` turns back into equal rows; keys, order and types survive."""
        names = [_ID, _SHAPE, *(_PREFIX + name for name in self.columns)]
        arrays = [self.tokens, self.shape, *(column.values for column in self.columns.values())]
        meta = {
            "shapes": self.shapes,
            "json": [name for name, column in self.columns.items() if column.is_json],
            "originals": dict(self.originals),
        }
        return pa.table(arrays, names=names).replace_schema_metadata({_META: orjson.dumps(meta)})

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """The rows that `to_table` wrote; further columns of the table are left out."""
        meta = orjson.loads(table.schema.metadata[_META])
        as_json = set(meta["json"])
        columns = {
            name.removeprefix(_PREFIX): Column(
                _one_array(table.column(name)),
                Logical.JSON if name.removeprefix(_PREFIX) in as_json else Logical.NATIVE,
            )
            for name in table.column_names
            if name.startswith(_PREFIX)
        }
        return cls(
            _one_array(table.column(_ID)),
            tuple(tuple(keys) for keys in meta["shapes"]),
            _one_array(table.column(_SHAPE)),
            columns,
            meta["originals"],
        )


def _one_array(chunked: pa.ChunkedArray) -> pa.Array:
    combined = chunked.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)


def _column_of(rows: Rows, name: str) -> Column:
    return rows.columns.get(name) or Column(pa.nulls(rows.num_rows))


def _concat_column(columns: Sequence[Column]) -> Column:
    kinds = {(column.values.type, column.logical) for column in columns if not _empty(column)}
    if len(kinds) > 1:
        return Column.of([value for column in columns for value in column.to_python()])
    kind, logical = kinds.pop() if kinds else (pa.null(), Logical.NATIVE)
    arrays = [pa.nulls(len(c.values), kind) if _empty(c) else c.values for c in columns]
    together = Column(pa.concat_arrays(arrays), logical)
    for name in _TEXTS.intersection(*(column.__dict__ for column in columns)):
        together.__dict__[name] = pa.concat_arrays([column.__dict__[name] for column in columns])
    return together


def _empty(column: Column) -> bool:
    return column.values.null_count == len(column.values)  # type: ignore[no-any-return]


def present(rows: Rows, name: str) -> pa.Array | None:
    """Where a key is present (boolean per row), or `None` when it is present in every row."""
    having = [name in keys for keys in rows.shapes]
    if all(having):
        return None
    return pa.array(having, pa.bool_()).take(rows.shape)
