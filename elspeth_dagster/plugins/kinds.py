"""What a plugin can be."""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from elspeth_dagster.plugins.base import Plugin, Sink, Source, Transform


class PluginKind(Enum):
    """What a plugin is."""

    SOURCE = "source"
    TRANSFORM = "transform"
    SINK = "sink"

    @property
    def base(self) -> type[Plugin]:
        """The class that plugins of this kind extend."""
        return _BASES[self]

    @property
    def group(self) -> str:
        """The entry-point group in which packages announce plugins of this kind."""
        return f"elspeth_dagster.{self.value}s"


_BASES: Mapping[PluginKind, type[Plugin]] = {
    PluginKind.SOURCE: Source,
    PluginKind.TRANSFORM: Transform,
    PluginKind.SINK: Sink,
}


def kind_of(plugin: type[Plugin]) -> PluginKind:
    """What a plugin's class is."""
    return next(kind for kind, base in _BASES.items() if issubclass(plugin, base))


class Candidate(Protocol):
    """Something that may give a plugin's class."""

    @property
    def name(self) -> str:
        """The plugin's name."""

    @property
    def origin(self) -> str:
        """Where it comes from, for people."""

    def load(self) -> type[Plugin]:
        """Imports the class."""
