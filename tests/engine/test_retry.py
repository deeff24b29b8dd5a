"""Calls that are tried again: which, how often, how long is waited between, and what comes of it."""

import errno
import io
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elspeth_dagster.plugins.adapters import apply_retrying
from elspeth_dagster.plugins.base import (
    ExpandingRowTransform,
    FrameResult,
    FrameTransform,
    NoOptions,
    PluginError,
    RowError,
    RowTransform,
    Transform,
    Transformed,
    TransientError,
    may_pass,
)
from elspeth_dagster.plugins.retry import Retry
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import root_tokens
from elspeth_dagster.settings import RetrySettings


@dataclass
class Clockwork:
    """Waits without waiting, and remembers how long."""

    waited: list[float] = field(default_factory=list)

    def retry(self, *, chance: float = 0.0, scrubbed: Callable[[str], str] = str, **settings: Any) -> Retry:
        return Retry(RetrySettings(**settings), self.waited.append, scrubbed, lambda: chance)


class Flaky:
    """Raises the given errors one after another, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, *_: Any) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@pytest.fixture
def clock() -> Clockwork:
    return Clockwork()


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (TransientError("busy"), True),
        (type("Throttled", (TransientError,), {})("slow down"), True),
        (ConnectionResetError("peer"), True),
        (BrokenPipeError(), True),
        (TimeoutError(), True),
        (socket.gaierror(socket.EAI_AGAIN, "name"), True),
        (ssl.SSLError("handshake"), True),
        (InterruptedError(), True),
        (OSError(errno.EHOSTUNREACH, "no route"), True),
        (PluginError(ConnectionError("wrapped")), True),
        (PluginError(KeyError("wrapped")), False),
        (FileNotFoundError("table.csv"), False),
        (PermissionError("denied"), False),
        (NotADirectoryError("x"), False),
        (io.UnsupportedOperation("not readable"), False),
        (OSError(errno.ENOSPC, "disk full"), False),
        (ValueError("no"), False),
        (KeyError("k"), False),
        (MemoryError(), False),
        (KeyboardInterrupt(), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_which_errors_may_pass(error: BaseException, passes: bool) -> None:
    assert may_pass(error) is passes


def test_a_call_is_tried_until_it_succeeds_and_tells_what_went_wrong(clock: Clockwork) -> None:
    flaky = Flaky(ConnectionError("reset"), TransientError("busy"))
    result, failed = clock.retry(max_attempts=3).call(flaky)
    assert result == "answer"
    assert failed == ("ConnectionError: reset", "TransientError: busy")
    assert clock.waited == [1.0, 2.0]


def test_max_attempts_counts_every_try(clock: Clockwork) -> None:
    flaky = Flaky(*[TimeoutError("late")] * 9)
    result, failed = clock.retry(max_attempts=4).call(flaky)
    assert result == RowError("retries_exhausted", {"tries": 4, "error": "TimeoutError: late"})
    assert failed == ("TimeoutError: late",) * 3
    assert (flaky.calls, len(clock.waited)) == (4, 3)


def test_one_attempt_is_no_retry(clock: Clockwork) -> None:
    result, failed = clock.retry(max_attempts=1).call(Flaky(TimeoutError("late")))
    assert result == RowError("retries_exhausted", {"tries": 1, "error": "TimeoutError: late"})
    assert (failed, clock.waited) == ((), [])


def test_a_bug_is_not_tried_again_even_behind_what_was(clock: Clockwork) -> None:
    flaky = Flaky(ConnectionError(), ValueError("a bug"), ConnectionError())
    with pytest.raises(ValueError, match="a bug"):
        clock.retry(max_attempts=9).call(flaky)
    assert flaky.calls == 2


def test_an_interrupt_passes_at_once_also_while_waiting() -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    flaky = Flaky(ConnectionError(), ConnectionError())
    with pytest.raises(KeyboardInterrupt):
        Retry(RetrySettings(), interrupted).call(flaky)
    assert flaky.calls == 1
    with pytest.raises(KeyboardInterrupt):
        Retry(RetrySettings(), interrupted).call(Flaky(KeyboardInterrupt()))


def test_texts_of_errors_can_be_recorded_and_hold_no_secret(clock: Clockwork) -> None:
    retry = clock.retry(scrubbed=lambda text: text.replace("hunter2", "***"))
    _, failed = retry.call(Flaky(ConnectionError("u:hunter2@host \ud800")))
    assert failed == (r"ConnectionError: u:***@host \ud800",)


@given(
    first=st.floats(0.01, 100),
    limit=st.floats(0.1, 1000),
    base=st.floats(1.000001, 100),
    chance=st.floats(0, 1),
    failed=st.integers(1, 2**62),
)
def test_delays_grow_and_keep_their_bounds(
    first: float, limit: float, base: float, chance: float, failed: int
) -> None:
    settings = {"initial_delay_seconds": first, "max_delay_seconds": limit, "exponential_base": base}
    plain = Clockwork().retry(**settings)
    jittered = Clockwork().retry(chance=chance, **settings)
    delay = plain.delay_seconds(failed)
    assert min(first, limit) * 0.999 <= delay <= limit
    assert delay <= plain.delay_seconds(failed + 1) * 1.000001
    assert delay <= jittered.delay_seconds(failed) <= min(limit, delay + 1)


def made(plugin: type[Transform], **attributes: Any) -> Transform:
    """An instance of a plugin of a test."""
    instance = plugin(NoOptions())
    for name, value in attributes.items():
        setattr(instance, name, value)
    return instance


def numbers(count: int) -> Rows:
    return Rows.from_dicts(root_tokens(0, count), [{"n": n} for n in range(count)])


class Doubles(RowTransform):
    flaky: Mapping[int, Flaky] = {}

    def process(self, row: dict[str, Any]) -> dict[str, Any]:
        number = row["n"]
        row["n"] *= 2  # a failed try leaves the row changed
        if number in self.flaky:
            self.flaky[number]()
        return row


def test_only_the_row_that_failed_is_tried_again_and_begins_afresh(clock: Clockwork) -> None:
    flaky = {1: Flaky(ConnectionError("a"), ConnectionError("b")), 3: Flaky(*[TimeoutError("c")] * 9)}
    done = apply_retrying(made(Doubles, flaky=flaky), numbers(5), clock.retry(max_attempts=3))
    assert done.rows.to_dicts() == [{"n": 0}, {"n": 2}, {"n": 4}, {"n": 8}]
    assert done.errors == {3: {"reason": "retries_exhausted", "tries": 3, "error": "TimeoutError: c"}}
    assert done.tries == {
        1: ("ConnectionError: a", "ConnectionError: b"),
        3: ("TimeoutError: c", "TimeoutError: c"),
    }


def test_a_row_that_is_wrong_is_not_tried_again_and_stops_the_run_by_name(clock: Clockwork) -> None:
    flaky = {2: Flaky(ConnectionError(), ZeroDivisionError("bug"))}
    with pytest.raises(PluginError, match="bug") as caught:
        apply_retrying(made(Doubles, flaky=flaky), numbers(5), clock.retry())
    assert caught.value.token == numbers(5).tokens[2].as_py()


class Repeats(ExpandingRowTransform):
    flaky: Mapping[int, Flaky] = {}

    def process(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        if row["n"] in self.flaky:
            self.flaky[row["n"]]()
        return [dict(row) for _ in range(row["n"])]


def test_a_row_that_expands_is_tried_again_alone(clock: Clockwork) -> None:
    flaky = {2: Flaky(ConnectionError("a")), 1: Flaky(*[TimeoutError("c")] * 9)}
    done = apply_retrying(made(Repeats, flaky=flaky), numbers(3), clock.retry(max_attempts=2))
    assert done.rows.to_dicts() == [{"n": 2}, {"n": 2}]
    assert done.errors == {
        0: {"reason": "nothing_to_expand"},
        1: {"reason": "retries_exhausted", "tries": 2, "error": "TimeoutError: c"},
    }
    assert done.tries == {1: ("TimeoutError: c",), 2: ("ConnectionError: a",)}


class Frames(FrameTransform):
    flaky: Flaky

    def process(self, frame: pd.DataFrame) -> FrameResult:
        self.flaky()
        return FrameResult(frame, rejected=frame["n"] == 1)


class Columns(Transform):
    flaky: Flaky

    def apply(self, rows: Rows) -> Transformed:
        self.flaky()
        return Transformed(rows)


@pytest.mark.parametrize("plugin", [Frames, Columns])
def test_what_takes_its_rows_together_is_tried_again_with_all(
    clock: Clockwork, plugin: type[Transform]
) -> None:
    transform = made(plugin, flaky=Flaky(ConnectionError("a")))
    done = apply_retrying(transform, numbers(3), clock.retry())
    assert done.tries == dict.fromkeys(range(3), ("ConnectionError: a",))
    assert done.rows.num_rows + len(done.errors) == 3

    spent = made(plugin, flaky=Flaky(*[ConnectionError("b")] * 9))
    done = apply_retrying(spent, numbers(2), clock.retry(max_attempts=2))
    reason = {"reason": "retries_exhausted", "tries": 2, "error": "ConnectionError: b"}
    assert (done.rows.num_rows, done.errors) == (0, {0: reason, 1: reason})
    assert done.tries == dict.fromkeys(range(2), ("ConnectionError: b",))
