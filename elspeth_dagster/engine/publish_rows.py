"""Publishing through a sink that takes rows: what a user's own sink does, delivered at least once."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from elspeth_dagster.engine.delivery import Preview
from elspeth_dagster.engine.parts import Bound
from elspeth_dagster.engine.publish_errors import SinkFailureError
from elspeth_dagster.engine.publishing import Publishing
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape.commits import ArtifactFacts
from elspeth_dagster.plugins.base import PluginError, Reason, RowSink
from elspeth_dagster.plugins.sinks.facts import without
from elspeth_dagster.plugins.sinks.fit import Fit
from elspeth_dagster.rows.fields import SchemaMode
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import row_index

_SLICE_ROWS = 10_000


def hand_over_rows(publishing: Publishing, sink: RowSink) -> ArtifactFacts:
    """Hands all rows over, slice by slice in token order, and commits.

    A publish that died before its commit hands all of them over again.

    Raises:
        SinkFailureError: The plugin raised.
        FenceLostError: A newer attempt holds the run.
    """
    delivery = _Delivery(publishing, sink)
    with publishing.refusals() as log:
        for piece in publishing.pieces():
            bound = piece.load()
            for offset in range(0, bound.rows.num_rows, _SLICE_ROWS):
                # What has left cannot be taken back, so whoever lost the run stops as soon as can be.
                publishing.check_fence()
                some = bound.slice(offset, min(_SLICE_ROWS, bound.rows.num_rows - offset))
                log.add(some, delivery.deliver(some))
        return publishing.commit(log, delivery.artifact())


class _Delivery:
    def __init__(self, publishing: Publishing, sink: RowSink) -> None:
        self._publishing = publishing
        self._sink = sink
        self._fit = Fit(sink.schema, closed=sink.schema.mode is SchemaMode.FIXED)
        self._digest = hashlib.sha256()
        self._rows = 0
        self._preview = Preview()

    def deliver(self, bound: Bound) -> dict[int, Reason]:
        """Hands some rows over; gives position to reason of those that were refused."""
        reasons = self._fit.misfits(bound.rows, bound.diverted)
        fitting, _ = without(bound.rows, None, reasons)
        if not fitting.num_rows:
            return reasons
        places = [place for place in range(bound.rows.num_rows) if place not in reasons]
        refused = self._write(fitting)
        reasons |= {places[place]: {"reason": "refused", "detail": why} for place, why in refused.items()}
        delivered, _ = without(fitting, None, refused)
        self._rows += delivered.num_rows
        self._preview.add(delivered)
        for row_hash in delivered.hashes.to_pylist():
            self._digest.update(row_hash)
        return reasons

    def artifact(self) -> ArtifactFacts:
        """What the sink has made, by its own account; the hash is over the hashes of the rows."""
        facts: dict[str, Any] = {"delivery": self._sink.delivery, "preview": self._preview.cells}
        facts |= self._guarded(None, lambda: _told(self._sink.finish()))
        return ArtifactFacts(
            self._publishing.publication.name,
            self._guarded(None, lambda: str(self._sink.uri())),
            type(self._sink).__name__,
            self._rows,
            0,
            self._digest.hexdigest(),
            facts,
        )

    def _write(self, rows: Rows) -> Mapping[int, str]:
        dicts = rows.to_dicts()
        refused = self._guarded(rows, lambda: self._sink.write(dicts)) or {}
        unknown = [place for place in refused if not 0 <= place < rows.num_rows]
        if unknown:
            error = IndexError(f"write refused position {unknown[0]} of {rows.num_rows} rows")
            raise self._failure(rows, error)
        return {int(place): str(why) for place, why in refused.items()}

    def _guarded(self, rows: Rows | None, call: Any) -> Any:
        try:
            return call()
        except PluginError as error:
            raise self._failure(rows, error.cause, retryable=error.retryable) from error.cause
        except Exception as error:
            raise self._failure(rows, error, retryable=PluginError(error).retryable) from error

    def _failure(self, rows: Rows | None, error: BaseException, *, retryable: bool = False) -> ElspethError:
        span = None
        if rows is not None:
            span = (row_index(rows.tokens[0].as_py()), row_index(rows.tokens[-1].as_py()))
        publishing = self._publishing
        pipeline, name = publishing.attempt.pipeline, publishing.publication.name
        return SinkFailureError(pipeline, name, span, error, retryable=retryable)


def _told(facts: Any) -> dict[str, Any]:
    """What a sink says at its end, as the record can keep it."""
    told = {} if facts is None else dict(facts)
    try:
        json.dumps(told, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"finish gave what JSON cannot say: {error}") from error
    return told
