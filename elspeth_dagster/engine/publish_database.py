"""Publishing into a table: one transaction per part, each with a marker that says that it is in."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pyarrow as pa
import sqlalchemy as sa

from elspeth_dagster.engine.delivery import Preview, judge, survey
from elspeth_dagster.engine.markers import TABLE_MADE, Markers
from elspeth_dagster.engine.parts import Bound, concat_bound
from elspeth_dagster.engine.publish_errors import DatabaseTargetError
from elspeth_dagster.engine.publishing import Publishing
from elspeth_dagster.engine.refusals import RefusalLog
from elspeth_dagster.engine.rows_digest import RowsDigest, canonical_lines
from elspeth_dagster.landscape import storage
from elspeth_dagster.landscape.commits import ArtifactFacts
from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.sinks.database import DatabaseSink
from elspeth_dagster.plugins.sinks.databases.faults import (
    ConnectionLostError,
    RowsRefusedError,
    SurroundingsError,
)
from elspeth_dagster.plugins.sinks.databases.loading import loader
from elspeth_dagster.plugins.sinks.databases.tables import ExistingTable, create_table, drop_table
from elspeth_dagster.plugins.sinks.facts import keep_mask, without
from elspeth_dagster.plugins.sinks.file import Layout
from elspeth_dagster.plugins.sinks.typed import TypedFold

_PART_ROWS = 50_000
_PART_BYTES = 32 << 20
_FORGET_TRIES = 2

Result = TypeVar("Result")


def publish_to_database(publishing: Publishing, sink: DatabaseSink) -> ArtifactFacts:
    """Puts the sink's rows into its table, and commits.

    A part whose marker stands is in the table, whoever put it there; what was refused of it is read back.

    Raises:
        DatabaseTargetError: The database is away, full, or does not let us.
        FenceLostError: A newer attempt holds the run.
    """
    return _DatabasePublish(publishing, sink).run()


def forget_markers(publishing: Publishing, sink: DatabaseSink) -> None:
    """Removes the markers of a publish that is committed; where that fails they do no harm."""
    _DatabasePublish(publishing, sink).forget()


def cut(publishing: Publishing) -> Iterator[Bound]:
    """The sink's output in parts of bounded size; always the same ones, whatever the attempt."""
    waiting: list[Bound] = []
    rows = size = 0
    for piece in publishing.pieces():
        bound = piece.load()
        for some in _slices(bound):
            if waiting and (
                rows + some.rows.num_rows > _PART_ROWS or size + some.rows.num_bytes > _PART_BYTES
            ):
                yield concat_bound(waiting)
                waiting, rows, size = [], 0, 0
            waiting.append(some)
            rows, size = rows + some.rows.num_rows, size + some.rows.num_bytes
    if waiting:
        yield concat_bound(waiting)


def _slices(bound: Bound) -> Iterator[Bound]:
    total = bound.rows.num_rows
    count = max(-(-total // _PART_ROWS), -(-bound.rows.num_bytes // _PART_BYTES), 1)
    step = -(-total // count)
    for offset in range(0, total, max(step, 1)):
        yield bound.slice(offset, min(step, total - offset))


class _DatabasePublish:
    def __init__(self, publishing: Publishing, sink: DatabaseSink) -> None:
        self._publishing = publishing
        self._sink = sink
        self._database = sink.connect(publishing.context.resolve)
        self._markers = Markers(publishing.attempt.run_id, publishing.publication.name)
        self._digest = RowsDigest()
        self._rows = 0
        self._preview = Preview()

    def run(self) -> ArtifactFacts:
        before, known = self._look()
        while True:
            layout, fitting = self._survey(before)
            if not fitting and not (self._sink.replaces and layout.columns):
                break
            recorded = self._make_table(before, layout)
            if recorded == before:
                break
            # Another attempt of this run began between the look and now; what it saw counts.
            before = recorded
        with self._publishing.refusals() as log:
            self._deliver(before, layout, known, log)
            artifact = self._publishing.commit(log, self._artifact(layout))
        self.forget()
        return artifact

    def forget(self) -> None:
        """Removes the markers; ones that stay do no harm, since no other run has them."""
        for _try in range(_FORGET_TRIES if self._is_there else 0):
            with suppress(ConnectionLostError, SurroundingsError), self._database.transaction() as connection:
                self._markers.forget(connection)
                return

    @property
    def _is_there(self) -> bool:
        return self._database.file is None or self._database.file.exists()

    def _look(self) -> tuple[ExistingTable | None, dict[int, Any]]:
        """The table as it was before this run, and the markers that stand."""

        def look(connection: sa.Connection) -> tuple[ExistingTable | None, dict[int, Any]]:
            known = self._markers.read(connection)
            if TABLE_MADE in known:
                return _from_json(known.pop(TABLE_MADE)), known
            return None if self._sink.replaces else ExistingTable.find(connection, self._sink.table), known

        if not self._is_there:
            return None, {}
        return self._insist(look, read_only=True)

    def _fold(self, before: ExistingTable | None) -> TypedFold:
        return self._sink.fold(before, takes_any=self._publishing.publication.takes_any)

    def _survey(self, before: ExistingTable | None) -> tuple[Layout, int]:
        """The columns and types that all rows ask for, and how many rows fit them."""
        fold = self._fold(before)
        fitting = survey(self._sink, fold, self._publishing.pieces())
        return fold.layout(), fitting

    def _make_table(self, before: ExistingTable | None, layout: Layout) -> ExistingTable | None:
        """Makes the table unless this run did so already; gives what it was before this run."""
        if self._database.file is not None:
            storage.make_folder(self._database.file.parent)

        def make(connection: sa.Connection) -> ExistingTable | None:
            self._markers.create(connection)
            recorded = self._markers.claim(connection, TABLE_MADE, _to_json(before))
            if recorded is not None:
                return _from_json(recorded)
            if self._sink.replaces:
                drop_table(connection, self._sink.table)
            if before is None and layout.columns:
                required = self._sink.required(takes_any=self._publishing.publication.takes_any)
                create_table(connection, self._sink.table, layout, required)
            self._publishing.check_fence()
            return before

        return self._insist(make)

    def _deliver(
        self, before: ExistingTable | None, layout: Layout, known: dict[int, Any], log: RefusalLog
    ) -> None:
        # The fold goes over the same rows again and so refuses the same ones.
        fold = self._fold(before)
        # Rows are made canonical while the database takes them.
        with ThreadPoolExecutor(max_workers=1) as pool:
            for ordinal, bound in enumerate(cut(self._publishing)):
                canonical = pool.submit(canonical_lines, bound.rows)
                reasons = judge(self._sink, fold, bound)
                if ordinal in known:
                    reasons = self._refused(bound, known[ordinal])
                elif len(reasons) < bound.rows.num_rows:
                    reasons = self._write(ordinal, bound, layout, reasons)
                log.add(bound, reasons)
                self._note(bound, reasons, canonical.result())

    def _note(self, bound: Bound, reasons: dict[int, Reason], lines: pa.Array) -> None:
        """Counts, hashes and shows what was delivered of a part."""
        delivered = bound.rows
        if reasons:
            lines = lines.filter(keep_mask(len(lines), reasons))
            delivered, _ = without(bound.rows, None, reasons)
        self._rows += delivered.num_rows
        self._preview.add(delivered)
        self._digest.add(lines)

    def _write(
        self, ordinal: int, bound: Bound, layout: Layout, misfits: dict[int, Reason]
    ) -> dict[int, Reason]:
        """Inserts a part's rows with its marker; gives position to reason of every refused row."""
        fitting, _ = without(bound.rows, None, misfits)
        places: Sequence[int] = range(bound.rows.num_rows)
        if misfits:
            places = [place for place in places if place not in misfits]

        def write(connection: sa.Connection) -> dict[int, Reason]:
            recorded = self._markers.claim(connection, ordinal, _marker(bound, fitting.num_rows, misfits))
            if recorded is not None:
                return self._refused(bound, recorded)
            refused = loader(connection, self._sink.table, layout).load(fitting)
            reasons = misfits | {places[place]: reason for place, reason in refused.items()}
            if refused:
                facts = _marker(bound, fitting.num_rows - len(refused), reasons)
                self._markers.settle(connection, ordinal, facts)
            self._publishing.check_fence()
            return reasons

        return self._insist(write)

    def _refused(self, bound: Bound, facts: Any) -> dict[int, Reason]:
        """What was refused of a part whose marker stands; it has to be the very same part."""
        if facts.get("tokens") != _tokens(bound):
            publishing = self._publishing
            raise DatabaseTargetError(
                publishing.attempt.pipeline,
                publishing.publication.name,
                self._sink.shown(publishing.context.resolve),
                "another version of this package, which cut the rows otherwise, put a part of them in; "
                "resume the run with that version",
                retryable=False,
            )
        return dict(facts["refused"])

    def _artifact(self, layout: Layout) -> ArtifactFacts:
        shown = [
            (name, header, kind)
            for name, header, kind in zip(layout.columns, layout.headers, layout.types, strict=True)
            if name is not None
        ]
        facts = {
            "columns": [name for name, _, _ in shown],
            "header": [header for _, header, _ in shown],
            "types": [kind for _, _, kind in shown],
            "if_exists": self._sink.options.if_exists.value,
            "preview": self._preview.cells,
        }
        name, uri = self._publishing.publication.name, self._sink.shown(self._publishing.context.resolve)
        return ArtifactFacts(name, uri, self._sink.kind, self._rows, 0, self._digest.hexdigest(), facts)

    def _insist(self, work: Callable[[sa.Connection], Result], *, read_only: bool = False) -> Result:
        with self._touching():
            return self._database.insist(work, read_only=read_only)

    @contextmanager
    def _touching(self) -> Iterator[None]:
        """Says of what the database does not do inside that it is about this sink."""
        try:
            yield
        except (ConnectionLostError, RowsRefusedError, SurroundingsError, OSError) as error:
            publishing = self._publishing
            raise DatabaseTargetError(
                publishing.attempt.pipeline,
                publishing.publication.name,
                self._sink.shown(publishing.context.resolve),
                self._sink.url.scrubbed(str(error)),
                retryable=bool(getattr(error, "retryable", False)),
            ) from error


def _marker(bound: Bound, rows: int, reasons: dict[int, Reason]) -> dict[str, Any]:
    refused = [[place, reason] for place, reason in sorted(reasons.items())]
    return {"tokens": _tokens(bound), "rows": rows, "refused": refused}


def _tokens(bound: Bound) -> list[Any]:
    """Which rows a part is of: how many, the first and the last, since parts follow each other."""
    tokens = bound.rows.tokens
    return [len(tokens), tokens[0].as_py().hex(), tokens[len(tokens) - 1].as_py().hex()]


def _to_json(before: ExistingTable | None) -> dict[str, Any]:
    return {"before": None if before is None else [list(column) for column in before.columns]}


def _from_json(facts: Any) -> ExistingTable | None:
    columns = facts["before"]
    return None if columns is None else ExistingTable(tuple((name, family) for name, family in columns))
