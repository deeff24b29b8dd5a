"""Plugins are opened in order and each is closed exactly once; the first error wins."""

from pathlib import Path

import pytest

from elspeth_dagster.engine.lifecycle import PluginCloseError, PluginOpenError, opened
from elspeth_dagster.plugins.base import NoOptions, Plugin, PluginContext


class Probe(Plugin):
    def __init__(self, log: list[str], name: str, *, fails: tuple[str, ...] = ()) -> None:
        super().__init__(NoOptions())
        self.log, self.name, self.fails = log, name, fails

    def _note(self, what: str) -> None:
        self.log.append(f"{what} {self.name}")
        if what in self.fails:
            raise RuntimeError(f"{what} of {self.name}")

    def open(self, context: PluginContext) -> None:
        self._note("open")

    def close(self) -> None:
        self._note("close")


def contexts(*names: str) -> dict[str, PluginContext]:
    return {name: PluginContext("p", name, "run", Path) for name in names}


def probes(log: list[str], **fails: tuple[str, ...]) -> dict[str, Plugin]:
    return {name: Probe(log, name, fails=what) for name, what in fails.items()}


def test_opened_in_order_and_closed_once_in_reverse() -> None:
    log: list[str] = []
    with opened(probes(log, a=(), b=()), contexts("a", "b")):
        log.append("work")
    assert log == ["open a", "open b", "work", "close b", "close a"]


def test_a_failing_open_closes_what_was_begun_and_opens_nothing_more() -> None:
    log: list[str] = []
    plugins = probes(log, a=(), b=("open",), c=())
    with pytest.raises(PluginOpenError, match="open of b"), opened(plugins, contexts("a", "b", "c")):
        log.append("work")
    assert log == ["open a", "open b", "close b", "close a"]


def test_a_cleanup_error_does_not_hide_the_first_one() -> None:
    log: list[str] = []
    plugins = probes(log, a=("close",), b=("close",))
    with pytest.raises(KeyError, match="first") as caught, opened(plugins, contexts("a", "b")):
        raise KeyError("first")
    assert log == ["open a", "open b", "close b", "close a"]
    assert [note.split(": ")[-1] for note in caught.value.__notes__] == ["close of b", "close of a"]


def test_a_control_flow_signal_passes_as_it_is() -> None:
    class TryLater(Exception):  # noqa: N818 - a signal, no error
        pass

    log: list[str] = []
    with pytest.raises(TryLater), opened(probes(log, a=("close",)), contexts("a")):
        raise TryLater


def test_a_cleanup_error_alone_is_reported_after_all_are_closed() -> None:
    log: list[str] = []
    with (
        pytest.raises(PluginCloseError, match="node 'b': RuntimeError: close of b"),
        opened(probes(log, a=(), b=("close",)), contexts("a", "b")),
    ):
        log.append("work")
    assert log == ["open a", "open b", "work", "close b", "close a"]
