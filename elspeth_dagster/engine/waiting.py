"""Transforms that wait on something outside: side by side, several calls of each at a time."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from elspeth_dagster.engine.answers import Answered, Recall
from elspeth_dagster.engine.stopwatch import Stopwatch, by_the_clock
from elspeth_dagster.engine.travel import Positions
from elspeth_dagster.plugins.adapters import apply_retrying
from elspeth_dagster.plugins.base import ExpandingRowTransform, RowTransform, Transform
from elspeth_dagster.plugins.retry import Retry
from elspeth_dagster.rows.rows import Rows


class Stopped(BaseException):
    """Work in a thread ends early since other work failed. No plugin's `except Exception` may keep it."""


@dataclass
class _Stop:
    """Tells threads that their work is not wanted any more."""

    event: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        if self.event.is_set():
            raise Stopped

    def pausing(self, pause: Callable[[float], None]) -> Callable[[float], None]:
        """Waits as `pause` does, but not after work is stopped."""

        def stoppable(seconds: float) -> None:
            self.check()
            if pause is not time.sleep:
                pause(seconds)
            elif self.event.wait(seconds):
                raise Stopped

        return stoppable


@dataclass(frozen=True)
class Waiting:
    """How transforms that wait are asked.

    Attributes:
        recall: What they have answered already.
        workers: How many calls of one transform are under way at a time.
        stopwatch: Measures calls.
    """

    recall: Recall
    workers: int
    stopwatch: Stopwatch = by_the_clock
    stop: _Stop = field(default_factory=_Stop)

    def ask(self, plugin: Transform, rows: Rows, retry: Retry) -> Answered:
        """Has a transform work on some rows.

        Raises:
            PluginError: The plugin raised something that does not pass by itself.
        """
        calls = _TimedCalls(self, rows.num_rows)
        stoppable = replace(retry, pause=self.stop.pausing(retry.pause))
        done = apply_retrying(plugin, rows, stoppable, calls)
        if not isinstance(plugin, RowTransform | ExpandingRowTransform):
            calls.elapsed_us[:] = calls.elapsed_us[0]
        return Answered(done, calls.elapsed_us)


class _TimedCalls:
    """Makes calls several at a time, and measures each."""

    def __init__(self, waiting: Waiting, rows: int) -> None:
        self._waiting = waiting
        self.elapsed_us: Positions = np.zeros(rows, np.int64)

    def __call__(self, call: Callable[[int], Any], positions: range) -> Iterator[Any]:
        def timed(position: int) -> Any:
            self._waiting.stop.check()
            result, self.elapsed_us[position] = self._waiting.stopwatch(lambda: call(position))
            return result

        with ThreadPoolExecutor(self._waiting.workers, thread_name_prefix="elspeth-call") as pool:
            yield from pool.map(timed, positions)


def side_by_side(
    nodes: Sequence[str],
    needs: Mapping[str, frozenset[str]],
    begin: Callable[[str], Callable[[], Any] | None],
    finish: Callable[[str, Any], None],
    waiting: Waiting,
) -> None:
    """Takes work through nodes, each one as soon as those before it are done, waiting ones in threads.

    The first error wins: the other threads are told to stop, and errors of theirs are notes on it.

    Args:
        nodes: The nodes, in topological order.
        needs: For each node those that it is fed by.
        begin: Does a node's work, or gives what is to be done of it in a thread.
        finish: Takes what a node's thread gave. Called in this thread.
        waiting: How the threads are stopped.
    """
    left, done = list(nodes), set[str]()
    under_way: dict[Future[Any], str] = {}
    with ThreadPoolExecutor(len(nodes), thread_name_prefix="elspeth-branch") as pool:
        try:
            while left or under_way:
                ready = next((name for name in left if needs[name] <= done), None)
                if ready is not None:
                    left.remove(ready)
                    work = begin(ready)
                    if work is None:
                        done.add(ready)
                    else:
                        under_way[pool.submit(work)] = ready
                    continue
                finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in sorted(finished, key=lambda each: nodes.index(under_way[each])):
                    name = under_way.pop(future)
                    finish(name, future.result())
                    done.add(name)
        except BaseException as error:
            waiting.stop.event.set()
            _note_others(error, under_way)
            raise


def _note_others(error: BaseException, under_way: Mapping[Future[Any], str]) -> None:
    """Waits for the other threads, and notes what else went wrong."""
    for future, name in under_way.items():
        other = future.exception()
        if other is not None and other is not error and not isinstance(other, Stopped):
            error.add_note(f"meanwhile, node {name!r} failed: {type(other).__name__}: {other}")
