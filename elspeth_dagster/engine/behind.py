"""Commits one piece of work while the next is made: writing waits on the disk, making does not."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pyarrow as pa


class Behind:
    """Does one thing at a time, in order, in a thread of its own."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._pending: Future[Any] | None = None

    def do(self, work: Callable[[], Any]) -> None:
        """Waits until the work before is done, raising its error, and begins this one."""
        self.wait()
        self._pending = self._pool.submit(work)

    def wait(self) -> None:
        """Waits until nothing is under way, raising the error of what was."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def settle(self, error: BaseException) -> None:
        """Waits until nothing is under way, because of an error; one of what was becomes a note on it."""
        try:
            self.wait()
        except Exception as second:  # noqa: BLE001 - whatever it was, the first error wins
            error.add_note(f"meanwhile, the commit before failed: {type(second).__name__}: {second}")


@contextmanager
def _one_arrow_thread() -> Iterator[None]:
    """Keeps Arrow from sharing out pieces of work that are too small for it: it gets slower by that."""
    threads = pa.cpu_count()
    pa.set_cpu_count(1)
    try:
        yield
    finally:
        pa.set_cpu_count(threads)


@contextmanager
def one_behind() -> Iterator[Behind]:
    """Something that does work behind the block; all of it is done when the block ends.

    The first error wins: when the block fails, work under way is finished, and an error of it is a note on
    that of the block.
    """
    with _one_arrow_thread(), ThreadPoolExecutor(max_workers=1, thread_name_prefix="elspeth-commit") as pool:
        behind = Behind(pool)
        try:
            yield behind
        except BaseException as error:
            behind.settle(error)
            raise
        behind.wait()
