"""A batch too large for memory: folded slice by slice, then recorded slice by slice.

What comes of it is what `Batching` makes of it in memory. What the fold gives waits on disk until the members
are recorded, for only at its end is it known whether it counts.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import orjson
import pyarrow as pa

from elspeth_dagster.engine.batches import Batch
from elspeth_dagster.engine.batching import Batching, Made, unexpected_count
from elspeth_dagster.engine.errors import RowFailureError
from elspeth_dagster.engine.sweep import Swept, Walk
from elspeth_dagster.engine.travel import Arrived, Positions, in_token_order
from elspeth_dagster.plugins.adapters import row_error_reason
from elspeth_dagster.plugins.aggregations.spool import Spool
from elspeth_dagster.plugins.base import PluginError, Reason, RowError
from elspeth_dagster.plugins.batch import BatchError, BatchFold
from elspeth_dagster.rows.rows import Rows


def is_giant(batching: Batching, rows: int) -> bool:
    """Whether a chunk is one batch of more than `rows` members, which are not given back."""
    (first, *others) = batching.batches
    return not others and first.members > rows and not batching.passthrough


@dataclass
class _Result:
    """What came of the fold.

    Attributes:
        outputs: The rows that came out.
        count: How many they are.
        failed: Why the batch failed, `None` when it did not.
        tries: What went wrong in each of the tries before.
    """

    outputs: Spool = field(default_factory=Spool)
    count: int = 0
    failed: Reason | None = None
    tries: tuple[str, ...] = ()
    _rejected: dict[int, Reason] = field(default_factory=dict)
    _known: dict[bytes, Reason] = field(default_factory=dict)

    def put_out(self, rows: Rows) -> None:
        """Keeps what came out."""
        if rows.num_rows:
            self.outputs.append(rows)
            self.count += rows.num_rows

    def reject(self, rejected: Mapping[int, Reason]) -> None:
        """Keeps reasons, equal ones once."""
        for position, reason in rejected.items():
            known = orjson.dumps(reason, default=str)
            self._rejected[position] = self._known.setdefault(known, reason)

    @cached_property
    def _positions(self) -> Positions:
        return np.array(sorted(self._rejected), np.int64)

    def of_members(self, start: int, count: int) -> Made:
        """What is to be told of a slice of the members, once all is known."""
        low, high = np.searchsorted(self._positions, [start, start + count]).tolist()
        rejected = {place - start: self._rejected[place] for place in self._positions[low:high].tolist()}
        failed = {} if self.failed is None else {0: self.failed}
        return Made.nothing(rejected, failed, {0: self.tries} if self.tries else {})


@dataclass(frozen=True)
class GiantBatch:
    """An aggregation at work on one batch.

    Attributes:
        batching: The aggregation and its batch.
        read: Reads the members, piece by piece, as often as it is called.
        slice_rows: How many members make a slice, about.
    """

    batching: Batching
    read: Callable[[], Iterator[Arrived]]
    slice_rows: int

    def sweep(self) -> Iterator[Swept]:
        """Gives in slices, in token order, what `Batching.sweep` gives at once.

        Raises:
            RowFailureError: A plugin raised; names node and rows.
        """
        result = self._fold_retrying()
        with closing(result.outputs):
            start = 0
            for members in self._cut():
                yield self._record(members, start, result)
                start += members.rows.num_rows
                if start == self._outputs_behind:
                    yield from self._put_out(members.rows.tokens[-1:], result)

    @property
    def _batch(self) -> Batch:
        (batch,) = self.batching.batches
        return batch

    @property
    def _outputs_behind(self) -> int:
        """Behind how many members the tokens of the outputs come: they hang off the last of these."""
        return self._batch.members if self._batch.by_member else 1

    def _slices(self) -> Iterator[Arrived]:
        held: list[Arrived] = []
        rows = 0
        for piece in self.read():
            held.append(piece)
            rows += piece.rows.num_rows
            if rows >= self.slice_rows:
                yield in_token_order(held)
                held, rows = [], 0
        if held:
            yield in_token_order(held)

    def _cut(self) -> Iterator[Arrived]:
        """The slices, cut where the outputs come in."""
        start = 0
        for members in self._slices():
            count = members.rows.num_rows
            head = self._outputs_behind - start
            start += count
            if 0 < head < count:
                yield members.slice(0, head)
                yield members.slice(head, count - head)
            else:
                yield members

    def _fold_retrying(self) -> _Result:
        try:
            result, tries = self.batching.stage.retry.call(self._fold)
        except PluginError as error:
            raise self._failure(error) from error.cause
        if isinstance(result, RowError):
            result = _Result(failed=row_error_reason(result, None))
        result.tries = tries
        return result

    def _fold(self) -> _Result:
        """Shows the plugin all members, and keeps what it says."""
        result = _Result()
        with ExitStack() as on_error, ExitStack() as stack:
            on_error.callback(result.outputs.close)
            with _plugin_errors():
                fold = stack.enter_context(closing(self.batching.plugin.fold()))
            start = 0
            for members in self._slices():
                positions = range(start, start + members.rows.num_rows)
                with _plugin_errors():
                    result.reject(fold.add(members.rows, positions))
                start = positions.stop
            with _plugin_errors():
                self._finish(fold, result)
            on_error.pop_all()
        return result

    def _finish(self, fold: BatchFold, result: _Result) -> None:
        made = fold.finish()
        if isinstance(made, BatchError):
            result.failed = made.reason
            return
        result.reject(made.rejected)
        for rows in made.rows:
            result.put_out(rows)
        expected = self.batching.rule.expected_output_count
        if expected is not None and result.count != expected:
            result.failed = unexpected_count(expected, result.count)

    def _failure(self, error: PluginError) -> RowFailureError:
        """Names all members, as for a batch in memory."""
        first = last = None
        for piece in self.read():
            last = piece.rows.tokens[-1].as_py()
            first = first or piece.rows.tokens[0].as_py()
        rows = Rows.uniform(pa.array([first, last], pa.binary()), {})
        return Walk(self.batching.stage.graph).failure(self.batching.node, rows, error)

    def _record(self, members: Arrived, start: int, result: _Result) -> Swept:
        walk = Walk(self.batching.stage.graph)
        count = members.rows.num_rows
        self.batching.end_members(walk, members, result.of_members(start, count))
        return self.batching.stage.finish(walk, count)

    def _put_out(self, anchor: pa.Array, result: _Result) -> Iterator[Swept]:
        if result.failed is not None:
            return
        start = 0
        for rows in result.outputs:
            walk = Walk(self.batching.stage.graph)
            ordinals = np.arange(start, start + rows.num_rows)
            self.batching.put_out(walk, anchor, Made(rows, np.zeros(rows.num_rows, np.int64), ordinals))
            yield self.batching.stage.finish(walk, 0)
            start += rows.num_rows


@contextmanager
def _plugin_errors() -> Iterator[None]:
    """Around a call of the plugin, so that what it raises is told from trouble of the record's own."""
    try:
        yield
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(error) from error
