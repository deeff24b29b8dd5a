"""Signals that ask to stop: the first one ends the work at the next safe point, a second one at once."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED_EXIT = 3
"""Exit code of a process that was asked to stop, and did."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAME_S = 0.2
_LAST_WORDS_S = 10.0


class Stopping:
    """What becomes of the signals that arrive while a block runs.

    The first one is passed to the handler that was there before, Dagster's, which raises where work can be
    broken off. One that comes later, when that did not end the block yet, ends the process. Two that come
    together are one: a terminal sends its signal to every process of a group, and some pass it on as well.
    """

    def __init__(self, at_once: Callable[[], None]) -> None:
        self._at_once = at_once
        self._before: dict[int, Any] = {}
        self._first: float | None = None
        self._held = False

    @property
    def asked(self) -> bool:
        """Whether a signal arrived."""
        return self._first is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lets the block finish: how work ended is written down although it is asked to end meanwhile."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def install(self) -> None:
        """Takes the signals over."""
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            signal.signal(number, self._receive)

    def restore(self) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
            if not self._held:
                _pass_on(self._before[number], number, frame)
        elif now - self._first > _SAME_S and not _is_told_by_parent():
            self._end()

    def _end(self) -> None:
        """Ends the process, whatever hangs. What is to be written down has ten seconds for that."""
        last = threading.Thread(target=self._at_once, name="elspeth-last-words", daemon=True)
        last.start()
        last.join(_LAST_WORDS_S)
        os._exit(INTERRUPTED_EXIT)


@contextmanager
def stopping(at_once: Callable[[], None]) -> Iterator[Stopping]:
    """Watches the signals of a block. Only a main thread gets any; in others this does nothing.

    Args:
        at_once: Writes down, in another thread, what there is to say before the process ends at once.
    """
    watch = Stopping(at_once)
    if threading.current_thread() is not threading.main_thread():
        yield watch
        return
    watch.install()
    try:
        yield watch
    finally:
        watch.restore()


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Has SIGTERM do what SIGINT does: raise `KeyboardInterrupt`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _pass_on(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler is not signal.SIG_IGN:
        raise KeyboardInterrupt


def _is_told_by_parent() -> bool:
    """Whether a parent hands out the steps: it is asked as well, and ends its children when it has to."""
    parent = multiprocessing.parent_process()
    return parent is not None and parent.is_alive()
