"""What transforms that wait on something outside have answered: recorded before it is acted on."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from elspeth_dagster.engine.inbound import read_table, write_table
from elspeth_dagster.engine.record import constant
from elspeth_dagster.engine.travel import Positions
from elspeth_dagster.engine.work import Work
from elspeth_dagster.graph import Node
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, attempt_folder, commit
from elspeth_dagster.landscape.drafts import answers_node
from elspeth_dagster.landscape.errors import DeterminismError
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.plugins.base import Expanded, Reason, Transformed
from elspeth_dagster.rows.rows import Rows

CALLS = pa.schema(
    {
        "token": pa.binary(),
        "node": pa.dictionary(pa.int32(), pa.string()),
        "elapsed_us": pa.int64(),
        "failed_tries": pa.list_(pa.string()),
        "error": pa.string(),
    }
)
"""A row per token that was asked about: how long its call took, tries included, and what went wrong."""

_PLACE = "place"


@dataclass(frozen=True)
class Answered:
    """What a transform answered about some rows.

    Attributes:
        done: The rows that came out, errors and tries.
        elapsed_us: Per row how long its call took (int64, microseconds).
    """

    done: Transformed
    elapsed_us: Positions


@dataclass
class Recall:
    """What is recorded of the answers that one chunk's sweeps need.

    Attributes:
        work: The op's hold on the run.
        stage: The stage.
        chunk: The chunk's number.
    """

    work: Work
    stage: int
    chunk: int
    _questions: dict[str, list[str]] = field(default_factory=dict)

    def answered(self, node: Node, rows: Rows, ask: Callable[[], Answered]) -> Answered:
        """What is recorded already about the very same rows, or else what `ask` gives, once that is recorded.

        Each slice of a chunk has answers of its own. When the nodes before were mended meanwhile, or the
        chunk is sliced otherwise, the rows are others, and they are asked about anew. Where another process
        recorded its answers first, those are the ones that count.
        """
        question, fresh = _question(rows), None
        while True:
            number = self._find(node.name, question)
            if number is not None:
                return self._read(self._key(node.name, number))
            if fresh is None:
                fresh = ask()
            key = self._key(node.name, len(self._questions[node.name]))
            # Somebody else's answers to other rows may have come to this key.
            with suppress(DeterminismError):
                draft = self._draft(key, node, rows, fresh, question)
                commit(self.work.landscape, self.work.attempt, draft)
                return fresh

    def _key(self, node: str, number: int) -> CommitKey:
        return CommitKey(Phase.PROCESS, answers_node(self.stage, node, number), self.chunk)

    def _find(self, node: str, question: str) -> int | None:
        """The number of the answers to a question; `None` once all that are recorded are to others."""
        known = self._questions.setdefault(node, [])
        while question not in known:
            key = self._key(node, len(known))
            work = self.work
            parts = reads.parts_of(work.landscape, work.run_id, key.phase, key.node, key.ordinal)
            if not parts:
                return None
            # Answers of a version that did not note it are to none of today's questions.
            known.append(parts[0].info.get("question", ""))
        return known.index(question)

    def _draft(
        self, key: CommitKey, node: Node, rows: Rows, answered: Answered, question: str
    ) -> CommitDraft:
        done = answered.done
        places = done.parents if isinstance(done, Expanded) else _places(rows.num_rows, done.errors)
        table = done.rows.to_table().append_column(_PLACE, places)
        folder = attempt_folder(self.work.landscape, self.work.attempt)
        name = f"{key.phase.value}-answers-{hashlib.sha256(key.node.encode()).hexdigest()[:12]}-{key.ordinal}"
        info = {"expanded": isinstance(done, Expanded), "question": question}
        part = write_table(folder, name, table, target=node.name, ordinal=0, content=table, info=info)
        return CommitDraft(key, tables={"calls": _calls(node.name, rows, answered)}, parts=(part,))

    def _read(self, key: CommitKey) -> Answered:
        work = self.work
        (segment,) = reads.segments_of(
            work.landscape, work.run_id, phase=key.phase, node=key.node, ordinal=key.ordinal, table="calls"
        )
        calls = reads.read_segment(work.landscape, segment)
        (part,) = reads.parts_of(work.landscape, work.run_id, key.phase, key.node, key.ordinal)
        return _answered(calls, read_table(work.landscape, part), expanded=part.info["expanded"])


def _question(rows: Rows) -> str:
    """Tells rows from others: which tokens, and what they are."""
    digest = hashlib.sha256()
    for column in (rows.tokens, rows.hashes):
        for value in column.to_pylist():
            digest.update(len(value).to_bytes(4))
            digest.update(value)
    return digest.hexdigest()


def _calls(node: str, rows: Rows, answered: Answered) -> pa.Table:
    done, count = answered.done, rows.num_rows
    errors = [orjson.dumps(done.errors[at]).decode() if at in done.errors else None for at in range(count)]
    columns = {
        "token": rows.tokens,
        "node": constant(node, CALLS.field("node").type, count),
        "elapsed_us": pa.array(answered.elapsed_us, pa.int64()),
        "failed_tries": pa.array(
            [list(done.tries.get(at, ())) for at in range(count)], pa.list_(pa.string())
        ),
        "error": pa.array(errors, pa.string()),
    }
    return pa.table(columns, schema=CALLS)


def _answered(calls: pa.Table, table: pa.Table, *, expanded: bool) -> Answered:
    errors: dict[int, Reason] = {
        at: orjson.loads(text) for at, text in enumerate(calls["error"].to_pylist()) if text is not None
    }
    failed = enumerate(calls["failed_tries"].to_pylist())
    tries: Mapping[int, Any] = {at: tuple(texts) for at, texts in failed if texts}
    rows = Rows.from_table(table)
    done = Transformed(rows, errors, tries)
    if expanded:
        done = Expanded(rows, errors, tries, parents=table[_PLACE].combine_chunks())
    return Answered(done, calls["elapsed_us"].to_numpy())


def _places(count: int, errors: Mapping[int, Reason]) -> pa.Array:
    """The positions of the rows that went well."""
    kept = np.ones(count, np.bool_)
    kept[list(errors)] = False
    return pa.array(np.flatnonzero(kept), pa.int64())
