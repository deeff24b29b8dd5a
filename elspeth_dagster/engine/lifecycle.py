"""Opens plugins and closes each of them exactly once, whatever happens in between."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.plugins.base import Plugin, PluginContext


class PluginCloseError(ElspethError):
    """All work went well, but plugins could not be closed."""

    def __init__(self, failures: list[tuple[str, BaseException]]) -> None:
        self.node = failures[0][0]
        self.exception = _describe(failures[0][1])
        listed = "; ".join(f"node {node!r}: {_describe(error)}" for node, error in failures)
        super().__init__(f"closing plugins failed: {listed}")


@contextmanager
def opened(
    plugins: Mapping[str, Plugin], contexts: Mapping[str, PluginContext]
) -> Iterator[Mapping[str, Plugin]]:
    """Opens plugins in order, and closes in reverse order each one whose `open` was called.

    The first error wins: an error while closing is attached as a note to the one that is on its way.

    Raises:
        PluginOpenError: A plugin could not be opened.
        PluginCloseError: Closing failed and nothing else had.
    """
    begun: list[tuple[str, Plugin]] = []
    try:
        for node, plugin in plugins.items():
            begun.append((node, plugin))
            _open(node, plugin, contexts[node])
        yield plugins
    except BaseException as error:
        for node, failure in _close_all(begun):
            error.add_note(f"while cleaning up, closing node {node!r} failed: {_describe(failure)}")
        raise
    failures = _close_all(begun)
    if failures:
        raise PluginCloseError(failures) from failures[0][1]


class PluginOpenError(ElspethError):
    """A plugin raised in `open`."""

    def __init__(self, pipeline: str, node: str, error: BaseException) -> None:
        self.pipeline = pipeline
        self.node = node
        self.exception = _describe(error)
        self.retryable = isinstance(error, ConnectionError | TimeoutError)
        super().__init__(
            f"pipeline {pipeline!r}, node {node!r}: opening the plugin failed: {self.exception}. "
            "Mend the cause, then resume the run."
        )


def _open(node: str, plugin: Plugin, context: PluginContext) -> None:
    try:
        plugin.open(context)
    except ElspethError:
        raise
    except Exception as error:
        raise PluginOpenError(context.pipeline, node, error) from error


def _close_all(begun: list[tuple[str, Plugin]]) -> list[tuple[str, BaseException]]:
    failures: list[tuple[str, BaseException]] = []
    for node, plugin in reversed(begun):
        try:
            plugin.close()
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises while closing is reported, not raised
            failures.append((node, error))
    return failures


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
