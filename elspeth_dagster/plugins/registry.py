"""Which plugins there are: built in, installed under an entry point, or in a file beside the settings."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from elspeth_dagster.plugins.base import Plugin
from elspeth_dagster.plugins.batch import BatchPlugin
from elspeth_dagster.plugins.describe import describe
from elspeth_dagster.plugins.errors import AmbiguousPluginError, BrokenPluginError, UnknownPluginError
from elspeth_dagster.plugins.files import FOLDER, PluginFile, plugin_files
from elspeth_dagster.plugins.kinds import Candidate, PluginKind, kind_of
from elspeth_dagster.plugins.options import Configured, Found, configure
from elspeth_dagster.settings.errors import did_you_mean

_PACKAGE = "elspeth_dagster.plugins"
_BUILT_IN: Mapping[PluginKind, Mapping[str, str]] = {
    PluginKind.SOURCE: {
        "csv": f"{_PACKAGE}.sources.csv:CsvSource",
        "json": f"{_PACKAGE}.sources.json:JsonSource",
        "null": f"{_PACKAGE}.sources.null:NullSource",
    },
    PluginKind.TRANSFORM: {
        "passthrough": f"{_PACKAGE}.transforms.passthrough:Passthrough",
        "field_mapper": f"{_PACKAGE}.transforms.field_mapper:FieldMapper",
        "truncate": f"{_PACKAGE}.transforms.truncate:Truncate",
        "keyword_filter": f"{_PACKAGE}.transforms.keyword_filter:KeywordFilter",
        "json_explode": f"{_PACKAGE}.transforms.json_explode:JsonExplode",
        "batch_stats": f"{_PACKAGE}.aggregations.batch_stats:BatchStats",
        "batch_replicate": f"{_PACKAGE}.aggregations.batch_replicate:BatchReplicate",
    },
    PluginKind.SINK: {
        "csv": f"{_PACKAGE}.sinks.csv:CsvSink",
        "json": f"{_PACKAGE}.sinks.json:JsonSink",
        "database": f"{_PACKAGE}.sinks.database:DatabaseSink",
        "parquet": f"{_PACKAGE}.sinks.parquet:ParquetSink",
    },
}


@dataclass(frozen=True)
class _BuiltIn:
    name: str
    place: str
    origin: str = "built-in"

    def load(self) -> type[Plugin]:
        module, _, attribute = self.place.partition(":")
        plugin: type[Plugin] = getattr(importlib.import_module(module), attribute)
        return plugin


@dataclass(frozen=True)
class _Installed:
    entry: EntryPoint

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def origin(self) -> str:
        package = self.entry.dist.name if self.entry.dist else "an installed package"
        return f"{package}, {self.entry.value}"

    def load(self) -> type[Plugin]:
        try:
            plugin = self.entry.load()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise BrokenPluginError(self.name, self.origin, reason) from error
        if not (inspect.isclass(plugin) and issubclass(plugin, Plugin)):
            raise BrokenPluginError(self.name, self.origin, "the entry point is no plugin class")
        return plugin


@dataclass(frozen=True)
class PluginSet:
    """The plugins that a settings file can name.

    Attributes:
        files: Those in files beside it.
    """

    files: tuple[PluginFile, ...] = ()

    @classmethod
    def for_settings_file(cls, path: Path) -> "PluginSet":
        """The plugins for the settings file at `path`, which need not exist."""
        return cls(plugin_files(path.parent / FOLDER))

    def names(self, kind: PluginKind) -> tuple[str, ...]:
        """The names of a kind's plugins; files that do not load are left out."""
        files = [file.name for file in self.files if _kind_of_file(file) is kind]
        return tuple(sorted({*_BUILT_IN[kind], *(entry.name for entry in _entries(kind)), *files}))

    def transform_names(self, *, batch: bool) -> tuple[str, ...]:
        """The names of the transforms that take batches, or of those that take rows."""
        return tuple(name for name in self.names(PluginKind.TRANSFORM) if self._takes_batches(name) is batch)

    def _takes_batches(self, name: str) -> bool | None:
        try:
            return issubclass(self.resolve(PluginKind.TRANSFORM, name).plugin, BatchPlugin)
        except (AmbiguousPluginError, BrokenPluginError):
            return None

    def resolve(self, kind: PluginKind, name: str) -> Found:
        """The plugin of a kind and name.

        Raises:
            UnknownPluginError: There is none.
            AmbiguousPluginError: There are several.
            BrokenPluginError: Its code cannot be loaded.
        """
        candidates: list[Candidate] = [*_registered(kind, name)]
        loaded = [(candidate, candidate.load()) for candidate in candidates]
        misfits: list[tuple[Candidate, type[Plugin]]] = []
        for file in self.files:
            if file.name == name:
                plugin = file.load()
                (loaded if issubclass(plugin, kind.bases) else misfits).append((file, plugin))
        if len(loaded) > 1:
            raise AmbiguousPluginError(kind.value, name, [candidate.origin for candidate, _ in loaded])
        if not loaded and misfits:
            misfit, plugin = misfits[0]
            reason = f"{plugin.__name__} is a {kind_of(plugin).value}, not a {kind.value}"
            raise BrokenPluginError(name, misfit.origin, reason)
        if not loaded:
            known = self.names(kind)
            raise UnknownPluginError(kind.value, name, known, did_you_mean(name, known))
        candidate, plugin = loaded[0]
        if not issubclass(plugin, kind.bases):
            raise BrokenPluginError(name, candidate.origin, f"{plugin.__name__} is no {kind.value}")
        return Found(name, kind, candidate.origin, plugin)

    def configure(self, kind: PluginKind, name: str, options: Mapping[str, Any]) -> Configured:
        """The plugin with a node's options, checked.

        Raises:
            OptionsError: Something in the options is wrong.
            UnknownPluginError: And the other errors of `resolve`.
        """
        return configure(self.resolve(kind, name), options)

    def code_hash(self, kind: PluginKind, name: str) -> str:
        """SHA-256 of the source of a plugin's module, hexadecimal."""
        return self.resolve(kind, name).code_hash()

    def describe(self) -> list[dict[str, Any]]:
        """Every plugin as plain data (see `PluginDescription`), by kind and name; broken ones are last."""
        return [asdict(plugin) for plugin in describe(self.all())]

    def all(self) -> Iterator[Candidate]:
        """Every candidate, whatever its kind, without loading any."""
        for kind in PluginKind:
            yield from _built_in(kind)
            yield from map(_Installed, _entries(kind))
        yield from self.files


def load_built_in() -> None:
    """Loads the modules of all plugins of this package."""
    for kind in PluginKind:
        for plugin in _built_in(kind):
            plugin.load()


def _built_in(kind: PluginKind) -> Iterator[_BuiltIn]:
    for name, place in _BUILT_IN[kind].items():
        yield _BuiltIn(name, place)


def _registered(kind: PluginKind, name: str) -> Iterator[Candidate]:
    if name in _BUILT_IN[kind]:
        yield _BuiltIn(name, _BUILT_IN[kind][name])
    yield from (_Installed(entry) for entry in _entries(kind) if entry.name == name)


def _entries(kind: PluginKind) -> tuple[EntryPoint, ...]:
    return _entries_on(tuple(sys.path), entry_points, kind.group)


@lru_cache(maxsize=2 * len(PluginKind))
def _entries_on(
    _path: tuple[str, ...], look: Callable[..., Iterable[EntryPoint]], group: str
) -> tuple[EntryPoint, ...]:
    """Looking through all that is installed takes longer than the rest of loading a settings file."""
    return tuple(look(group=group))


def _kind_of_file(file: PluginFile) -> PluginKind | None:
    try:
        return kind_of(file.load())
    except BrokenPluginError:
        return None
