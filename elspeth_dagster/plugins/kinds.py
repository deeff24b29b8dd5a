"""What a plugin can be."""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from elspeth_dagster.plugins.base import Plugin, Sink, Source, Transform
from elspeth_dagster.plugins.batch import BatchPlugin


class PluginKind(Enum):
    """What a plugin is."""

    SOURCE = "source"
    TRANSFORM = "transform"
    SINK = "sink"

    @property
    def bases(self) -> tuple[type[Plugin], ...]:
        """The classes of which plugins of this kind extend one."""
        return _BASES[self]

    @property
    def group(self) -> str:
        """The entry-point group in which packages announce plugins of this kind."""
        return f"elspeth_dagster.{self.value}s"


_BASES: Mapping[PluginKind, tuple[type[Plugin], ...]] = {
    PluginKind.SOURCE: (Source,),
    PluginKind.TRANSFORM: (Transform, BatchPlugin),
    PluginKind.SINK: (Sink,),
}


def kind_of(plugin: type[Plugin]) -> PluginKind:
    """What a plugin's class is."""
    return next(kind for kind, bases in _BASES.items() if issubclass(plugin, bases))


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
