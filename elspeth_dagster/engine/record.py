"""What a sweep records: the rows of the `tokens`, `versions`, `states` and `errors` segments.

Whole groups of tokens share everything but their id, so a group is added at a time, and constant columns
cost next to nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.landscape.model import FAILED_TRY
from elspeth_dagster.rows.tokens import row_indices

_DICTIONARY = pa.dictionary(pa.int32(), pa.string())

TOKENS = pa.schema(
    {
        "token": pa.binary(),
        "row": pa.int64(),
        "parents": pa.list_(pa.binary()),
        "created_by": _DICTIONARY,
        "branch": _DICTIONARY,
        "batch": pa.int64(),
    }
)
VERSIONS = pa.schema({"token": pa.binary(), "version": pa.int16(), "hash": pa.binary(32)})
STATES = pa.schema(
    {
        "token": pa.binary(),
        "node": _DICTIONARY,
        "try": pa.int16(),
        "status": _DICTIONARY,
        "input_version": pa.int16(),
        "output_version": pa.int16(),
        "label": _DICTIONARY,
        "to": _DICTIONARY,
        "mode": _DICTIONARY,
        "reads": pa.string(),
        "outcome": _DICTIONARY,
        "batch": pa.int64(),
    }
)
ERRORS = pa.schema(
    {"token": pa.binary(), "row": pa.int64(), "node": _DICTIONARY, "kind": _DICTIONARY, "reason": pa.string()}
)


FIRST_TRY = 1


@dataclass(frozen=True)
class Leaving:
    """How some tokens leave a node.

    Attributes:
        status: `completed` or `failed`.
        label: Of the edge taken, `None` when none is.
        to: The node that the edge leads to.
        mode: `move`, `copy` or `divert`.
        outcome: How the tokens end: here when `to` is `None`, else at the sink `to`.
    """

    status: str
    label: str | None = None
    to: str | None = None
    mode: str | None = None
    outcome: str | None = None


@dataclass
class SweepRecord:
    """Collects the record of one sweep.

    Attributes:
        position: That of the node at work, by which the record is ordered whenever its turn comes.
    """

    position: int = -1
    _tried: dict[str, dict[bytes, int]] = field(default_factory=dict)
    _tokens: list[tuple[int, pa.Table]] = field(default_factory=list)
    _versions: list[tuple[int, pa.Table]] = field(default_factory=list)
    _states: list[tuple[int, pa.Table]] = field(default_factory=list)
    _errors: list[tuple[int, pa.Table]] = field(default_factory=list)

    def created(
        self,
        tokens: pa.Array,
        by: str,
        *,
        parents: pa.Array | None = None,
        branch: str | None = None,
        batch: pa.Array | None = None,
    ) -> None:
        """New tokens, and what they were made of: `parents` is a list of tokens for each."""
        columns: dict[str, pa.Array] = {"token": tokens, "row": row_indices(tokens)}
        columns |= {
            name: array for name, array in (("parents", parents), ("batch", batch)) if array is not None
        }
        group = _group(TOKENS, columns, {"created_by": by, "branch": branch})
        self._tokens.append((self.position, group))

    def version(self, tokens: pa.Array, version: int, hashes: pa.Array) -> None:
        """A new version of some tokens' rows."""
        group = _group(VERSIONS, {"token": tokens, "hash": hashes}, {"version": version})
        self._versions.append((self.position, group))

    def state(
        self,
        tokens: pa.Array,
        node: str,
        leaving: Leaving,
        *,
        versions: tuple[int | None, int | None],
        reads: pa.Array | None = None,
        batch: pa.Array | None = None,
    ) -> None:
        """Tokens that went through a node and left it the same way.

        Args:
            tokens: The tokens.
            node: The node.
            leaving: How they left it.
            versions: Of their rows, coming in and going out. Nothing came in where the node made the token.
            reads: Per token, canonical JSON of what was read to decide.
            batch: Per token, the number of its batch.
        """
        constants = {
            "node": node, "try": FIRST_TRY, "status": leaving.status, "input_version": versions[0],
            "output_version": versions[1], "label": leaving.label, "to": leaving.to, "mode": leaving.mode,
            "outcome": leaving.outcome,
        }  # fmt: skip
        columns = {"token": tokens}
        columns |= {name: array for name, array in (("reads", reads), ("batch", batch)) if array is not None}
        if node in self._tried:
            tried = self._tried[node]
            columns["try"] = pa.array([FIRST_TRY + tried.get(token, 0) for token in tokens.to_pylist()])
        self._states.append((self.position, _group(STATES, columns, constants)))

    def failed_tries(
        self, tokens: pa.Array, node: str, version: int, tries: Mapping[int, Sequence[str]]
    ) -> None:
        """Tries of some tokens that failed and were followed by another, whose state comes behind.

        Args:
            tokens: The tokens that came to the node.
            node: The node.
            version: Of their rows.
            tries: For a token, by position, what went wrong in each try.
        """
        each = [
            (position, number, error)
            for position, failed in sorted(tries.items())
            for number, error in enumerate(failed, FIRST_TRY)
        ]
        repeated = tokens.take(pa.array([position for position, _, _ in each], pa.int64()))
        columns = {"token": repeated, "try": pa.array([number for _, number, _ in each], pa.int64())}
        constants = {"node": node, "status": "failed", "input_version": version}
        self._states.append((self.position, _group(STATES, columns, constants)))
        reasons = [{"reason": "try_failed", "try": number, "error": error} for _, number, error in each]
        self.errors(repeated, node, FAILED_TRY, reasons)
        counted = {tokens[position].as_py(): len(failed) for position, failed in tries.items()}
        self._tried.setdefault(node, {}).update(counted)

    def errors(self, tokens: pa.Array, node: str, kind: str, reasons: Sequence[Mapping[str, Any]]) -> None:
        """One reason for each of some tokens."""
        texts = pa.array([orjson.dumps(reason, default=str).decode() for reason in reasons], pa.string())
        columns = {"token": tokens, "row": row_indices(tokens), "reason": texts}
        self._errors.append((self.position, _group(ERRORS, columns, {"node": node, "kind": kind})))

    def tables(self) -> dict[str, pa.Table]:
        """The segments' tables, `tokens` in token order."""
        tokens = _concat(TOKENS, self._tokens)
        return {
            "tokens": tokens.take(pc.sort_indices(tokens["token"])) if len(self._tokens) > 1 else tokens,
            "versions": _concat(VERSIONS, self._versions),
            "states": _concat(STATES, self._states),
            "errors": _concat(ERRORS, self._errors),
        }


def _concat(schema: pa.Schema, groups: list[tuple[int, pa.Table]]) -> pa.Table:
    """The groups one after another, in the order of their nodes."""
    if not groups:
        return schema.empty_table()
    ordered = sorted(groups, key=lambda group: group[0])
    return pa.concat_tables([table for _, table in ordered]).unify_dictionaries()


def _group(schema: pa.Schema, columns: Mapping[str, pa.Array], constants: Mapping[str, Any]) -> pa.Table:
    """A table of a schema in which the columns not given are constant, or null."""
    length = len(next(iter(columns.values())))
    arrays = [
        columns[column.name].cast(column.type)
        if column.name in columns
        else constant(constants.get(column.name), column.type, length)
        for column in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def constant(value: Any, kind: pa.DataType, length: int) -> pa.Array:
    """An array of one value repeated; a dictionary type is given one entry."""
    if value is None:
        return pa.nulls(length, kind)
    if pa.types.is_dictionary(kind):
        codes = pa.repeat(pa.scalar(0, kind.index_type), length)
        return pa.DictionaryArray.from_arrays(codes, pa.array([value], kind.value_type))
    return pa.repeat(pa.scalar(value, kind), length)
