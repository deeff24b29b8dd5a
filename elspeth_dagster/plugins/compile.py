"""From a settings file to everything that a run needs of it: settings, plugins and graph."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.graph import Graph, examine
from elspeth_dagster.plugins.base import Plugin, Transform
from elspeth_dagster.plugins.batch import BatchPlugin
from elspeth_dagster.plugins.errors import MisplacedPluginError, OptionsError, UnknownPluginError
from elspeth_dagster.plugins.facts import node_facts
from elspeth_dagster.plugins.kinds import PluginKind
from elspeth_dagster.plugins.options import Configured
from elspeth_dagster.plugins.partitioned import partition_problems, same_for_all
from elspeth_dagster.plugins.registry import PluginSet
from elspeth_dagster.plugins.sinks.file import FileSink, LaidOutSink
from elspeth_dagster.plugins.suffixes import misleading_suffixes
from elspeth_dagster.plugins.targets import Target, Targets
from elspeth_dagster.settings.errors import Problem, SettingsError, did_you_mean
from elspeth_dagster.settings.load import Loaded, load_what_is_valid
from elspeth_dagster.settings.nodes import (
    AggregationSettings,
    OutputMode,
    SinkSettings,
    SourceSettings,
    TransformSettings,
)
from elspeth_dagster.settings.partitions import PLACEHOLDER
from elspeth_dagster.settings.settings import Settings

PluginNode = SourceSettings | TransformSettings | AggregationSettings | SinkSettings


@dataclass(frozen=True)
class Compiled:
    """A pipeline, ready to be run.

    Attributes:
        settings: Its settings.
        plugins: The plugins that it can name.
        graph: Its graph.
        configured: For each node with a plugin, that plugin with its options.
    """

    settings: Settings
    plugins: PluginSet
    graph: Graph
    configured: Mapping[str, Configured]

    @cached_property
    def waits(self) -> bool:
        """Whether a transform waits on something outside."""
        plugins = (configured.found.plugin for configured in self.configured.values())
        return any(issubclass(plugin, Transform) and plugin.waits for plugin in plugins)

    def create(self, node: str) -> Plugin:
        """Makes a new instance of a node's plugin."""
        return self.configured[node].create()

    @cached_property
    def code_hashes(self) -> Mapping[str, str]:
        """For each node with a plugin, SHA-256 of the source of the plugin's module."""
        return {name: configured.found.code_hash() for name, configured in self.configured.items()}


def compile_pipeline(path: Path, environ: Mapping[str, str] = os.environ) -> Compiled:
    """Loads a settings file and compiles its pipeline.

    Raises:
        SettingsError: The file is not as the format has it, or its plugins, options, wiring, schemas or
            conditions are wrong; holds every problem that was found.
    """
    loaded = load_what_is_valid(path, environ=environ)
    plugins = PluginSet.for_settings_file(path)
    if loaded.settings is None or loaded.problems:
        raise SettingsError([*loaded.problems, *_problems_of_others(loaded, plugins)])
    return compile_settings(loaded.settings, plugins)


def _problems_of_others(loaded: Loaded, plugins: PluginSet) -> Iterator[Problem]:
    """What is wrong with the plugins and options of nodes that nothing was found in so far."""
    if loaded.settings is None:
        return
    made = _Made(loaded.settings, plugins)
    for kind, node in _plugin_nodes(loaded.settings):
        place = loaded.settings.problem(node.path, "").key_path
        if not any(f"{problem.key_path}.".startswith(f"{place}.") for problem in loaded.problems):
            made.add(kind, node)
    yield from made.problems


def compile_settings(settings: Settings, plugins: PluginSet) -> Compiled:
    """Compiles settings that are loaded already.

    Raises:
        SettingsError: As `compile_pipeline`.
    """
    made = _Made(settings, plugins)
    targets = Targets()
    problems: list[Problem] = []
    for kind, node in _plugin_nodes(settings):
        plugin = made.add(kind, node)
        if plugin is not None:
            problems.extend(_mode_problems(settings, node, plugin))
            problems.extend(_target_problems(settings, node, plugin, targets))
    problems.extend(partition_problems(settings, made.plugins))
    examined = examine(settings, {name: node_facts(plugin) for name, plugin in made.plugins.items()})
    problems.extend(examined.problems)
    if problems or made.problems:
        raise SettingsError([*made.problems, *problems])
    warnings = [*examined.warnings, *misleading_suffixes(settings), *same_for_all(settings)]
    warned = (*settings.warnings, *map(str, sorted(warnings)))
    return Compiled(replace(settings, warnings=warned), plugins, examined.graph(), made.configured)


@dataclass(frozen=True)
class _Made:
    """The nodes' plugins with their options, as far as these are in order.

    Attributes:
        settings: The settings.
        known: The plugins that they can name.
        configured: For each node, its plugin with its options.
        plugins: For each node, an instance of that.
        problems: What is not in order.
    """

    settings: Settings
    known: PluginSet
    configured: dict[str, Configured] = field(default_factory=dict)
    plugins: dict[str, Plugin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, kind: PluginKind, node: PluginNode) -> Plugin | None:
        """Makes a node's plugin; None, and the problems are noted, when that cannot be done."""
        unfit = [key for key in ("path", "url") if "\0" in str(node.options.get(key, ""))]
        if unfit:
            message = "there is a NUL character in it, which no path may have"
            self.problems.extend(
                self.settings.problem((*node.path, "options", key), message) for key in unfit
            )
            return None
        try:
            configured = _configure(self.known, kind, node)
            plugin = configured.create()
        except OptionsError as error:
            found = ((("options", *problem.path), problem.message) for problem in error.problems)
            self.problems.extend(
                self.settings.problem((*node.path, *path), message) for path, message in found
            )
            return None
        except ElspethError as error:
            self.problems.append(self.settings.problem((*node.path, "plugin"), str(error)))
            return None
        self.configured[node.name] = configured
        self.plugins[node.name] = plugin
        return plugin


def _configure(plugins: PluginSet, kind: PluginKind, node: PluginNode) -> Configured:
    """The node's plugin with its options; a transform that takes what the node has: rows, or batches."""
    if kind is not PluginKind.TRANSFORM:
        return plugins.configure(kind, node.plugin, node.options)
    wants_batches = isinstance(node, AggregationSettings)
    try:
        takes_batches = issubclass(plugins.resolve(kind, node.plugin).plugin, BatchPlugin)
    except UnknownPluginError:
        what = "batch transform" if wants_batches else "transform"
        known = plugins.transform_names(batch=wants_batches)
        raise UnknownPluginError(what, node.plugin, known, did_you_mean(node.plugin, known)) from None
    if takes_batches is not wants_batches:
        known = plugins.transform_names(batch=wants_batches)
        raise MisplacedPluginError(node.plugin, takes_batches=takes_batches, known=known)
    return plugins.configure(kind, node.plugin, node.options)


def _target_problems(
    settings: Settings, node: PluginNode, plugin: Plugin, targets: Targets
) -> Iterator[Problem]:
    """What two sinks of the pipeline both write, or one that the source reads."""
    if not isinstance(plugin, LaidOutSink):
        return
    read = settings.source.options.get("path")
    if isinstance(read, str) and isinstance(plugin, FileSink) and plugin.replaces(read, _as_it_is):
        message = "the source reads this file, and what it holds would be gone; choose another"
        yield settings.problem((*node.path, "options", "path"), message)
    target = Target(plugin.target(_as_it_is), node.name, settings.dagster.partitions)
    other = targets.take(target)
    if other is None:
        return
    what, key = ("file", "path") if isinstance(plugin, FileSink) else ("table", "table")
    message = f"the sink '{other.owner}' writes the same {what}, {node.options[key]}"
    if other.place != target.place:
        message = (
            f"the sink '{other.owner}' can come to write the same file: it writes {other.place}, and "
            f"{PLACEHOLDER} may be any key; put one of the two into a folder of its own"
        )
    yield settings.problem((*node.path, "options", key), message)


def _as_it_is(path: str) -> Path:
    return Path(os.path.normpath(path))


def _mode_problems(settings: Settings, node: PluginNode, plugin: Plugin) -> Iterator[Problem]:
    if not (isinstance(node, AggregationSettings) and isinstance(plugin, BatchPlugin)):
        return
    if node.output_mode is OutputMode.PASSTHROUGH and not plugin.takes_passthrough:
        message = f"'{node.plugin}' makes rows of its own; accepted: {OutputMode.TRANSFORM.value}"
        yield settings.problem((*node.path, "output_mode"), message)


def _plugin_nodes(settings: Settings) -> Iterator[tuple[PluginKind, PluginNode]]:
    yield PluginKind.SOURCE, settings.source
    for transform in settings.transforms:
        yield PluginKind.TRANSFORM, transform
    for aggregation in settings.aggregations:
        yield PluginKind.TRANSFORM, aggregation
    for sink in settings.sinks.values():
        yield PluginKind.SINK, sink
