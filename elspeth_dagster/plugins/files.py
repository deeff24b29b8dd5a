"""Plugins in files: `plugins/NAME.py` beside the settings file."""

import hashlib
import inspect
import linecache
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from elspeth_dagster.plugins.base import Plugin, Sink, Source, Transform
from elspeth_dagster.plugins.batch import BatchPlugin
from elspeth_dagster.plugins.errors import BrokenPluginError

FOLDER = "plugins"
SOURCE_HASH = "__elspeth_source_sha256__"
"""The global of a plugin file's module that holds the hash of the content that was executed."""

_BASES = (Source, Transform, BatchPlugin, Sink)
_loading = threading.Lock()


@dataclass(frozen=True)
class PluginFile:
    """A file that defines one plugin, named by the file's stem."""

    path: Path

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.path.stem

    @property
    def origin(self) -> str:
        """Where it is, as shown to people: relative to the settings file."""
        return f"{FOLDER}/{self.path.name}"

    def load(self) -> type[Plugin]:
        """Gives the plugin's class; a file that has changed since is loaded anew.

        Raises:
            BrokenPluginError: It cannot be read or executed, or does not define exactly one plugin.
        """
        try:
            source = self.path.read_bytes()
        except OSError as error:
            raise BrokenPluginError(self.name, self.origin, f"cannot be read: {error.strerror}") from error
        return self._plugin_of(self._module(source))

    def _module(self, source: bytes) -> ModuleType:
        """Executes the file under a name of its own for this content, once per process."""
        place = hashlib.sha256(bytes(self.path.resolve())).hexdigest()[:12]
        name = f"elspeth_plugin_{place}_{hashlib.sha256(source).hexdigest()[:12]}_{self.name}"
        with _loading:
            if name in sys.modules:
                return sys.modules[name]
            module = ModuleType(name)
            module.__file__ = str(self.path)
            module.__dict__[SOURCE_HASH] = hashlib.sha256(source).hexdigest()
            sys.modules[name] = module  # pydantic looks annotations up there
            linecache.checkcache(str(self.path))
            try:
                exec(compile(source, str(self.path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - plugins are trusted code
            except (Exception, SystemExit) as error:
                del sys.modules[name]
                raise BrokenPluginError(self.name, self.origin, _where(error, self.path)) from error
            return module

    def _plugin_of(self, module: ModuleType) -> type[Plugin]:
        own = [
            item
            for item in vars(module).values()
            if inspect.isclass(item)
            and issubclass(item, _BASES)
            and item.__module__ == module.__name__
            and not inspect.isabstract(item)
        ]
        if len(own) == 1:
            return own[0]
        found = ", ".join(item.__name__ for item in own) or "none"
        raise BrokenPluginError(
            self.name, self.origin, f"it must define exactly one source, transform or sink; found: {found}"
        )


def plugin_files(folder: Path) -> tuple[PluginFile, ...]:
    """The plugin files of a folder, by name; those whose names begin with `_` are none."""
    paths = sorted(folder.glob("*.py")) if folder.is_dir() else []
    return tuple(PluginFile(path) for path in paths if not path.name.startswith("_"))


def _where(error: BaseException, path: Path) -> str:
    """The error in one line, with the line of the plugin's file that it comes from."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    place = f"line {lines[-1]}: " if lines else ""
    return f"{place}{type(error).__name__}: {error}"
