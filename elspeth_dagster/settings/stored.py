"""What the record holds of a pipeline's settings."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from elspeth_dagster.settings.locations import KeyPath, key_path_text
from elspeth_dagster.settings.nodes import (
    AggregationSettings,
    CoalesceSettings,
    GateSettings,
    NodeSettings,
    SinkSettings,
    SourceSettings,
    TransformSettings,
)
from elspeth_dagster.settings.secrets import Secrets
from elspeth_dagster.settings.sections import MAPPINGS

KEY_ORDER = "key_order"

_ORDERLESS_OPTIONS = frozenset({"schema"})


@dataclasses.dataclass(frozen=True)
class StoredNodes:
    """All nodes of a pipeline."""

    source: SourceSettings
    transforms: tuple[TransformSettings, ...]
    gates: tuple[GateSettings, ...]
    aggregations: tuple[AggregationSettings, ...]
    coalesces: tuple[CoalesceSettings, ...]
    sinks: Mapping[str, SinkSettings]


def stored_settings(
    pipeline: str, nodes: StoredNodes, document: Mapping[str, Any], secrets: Secrets
) -> dict[str, Any]:
    """Give settings as plain data for the record.

    The shape is that of the file, with the defaults of nodes filled in and secrets replaced. `key_order`
    holds the order of keys where it has a meaning, since JSON in canonical form does not keep it.

    Args:
        pipeline: The pipeline's name.
        nodes: Its nodes.
        document: The file's content, of which the sections about running are taken.
        secrets: What may not stand in the result.
    """
    tree: dict[str, Any] = {
        "pipeline": pipeline,
        "source": _source(nodes.source),
        "transforms": [_content(node) for node in nodes.transforms],
        "gates": [_content(node) for node in nodes.gates],
        "aggregations": [_content(node) for node in nodes.aggregations],
        "coalesce": [_content(node) for node in nodes.coalesces],
        "sinks": {name: _content(node, named=False) for name, node in nodes.sinks.items()},
    }
    orders = {key_path_text(path): keys for path, keys in _key_orders(tree)}
    tree |= {section: document[section] for section in MAPPINGS if section in document}
    hidden: dict[str, Any] = secrets.hidden(tree)
    return {**hidden, KEY_ORDER: orders}


def _source(source: SourceSettings) -> dict[str, Any]:
    content = _content(source, named=False)
    failure = content.pop("on_validation_failure")
    if failure is not None:
        content["options"] = {**content["options"], "on_validation_failure": failure}
    return content


def _content(node: NodeSettings, *, named: bool = True) -> dict[str, Any]:
    fields = (field.name for field in dataclasses.fields(node) if field.name not in {"name", "path"})
    content = {name: _plain(getattr(node, name)) for name in fields}
    return {"name": node.name, **content} if named else content


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _key_orders(tree: Mapping[str, Any]) -> Iterator[tuple[KeyPath, list[str]]]:
    """Give the key order of mappings within options, and of branches: a plugin may go by it."""
    yield from _option_orders(tree["source"], ("source",))
    for section in ("transforms", "aggregations"):
        for node in tree[section]:
            yield from _option_orders(node, (section, node["name"]))
    for name, node in tree["sinks"].items():
        yield from _option_orders(node, ("sinks", name))
    for node in tree["coalesce"]:
        yield ("coalesce", node["name"], "branches"), list(node["branches"])


def _option_orders(node: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, list[str]]]:
    for option, value in node["options"].items():
        if option not in _ORDERLESS_OPTIONS:
            yield from _orders(value, (*path, "options", option))


def _orders(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, list[str]]]:
    if isinstance(value, dict):
        if len(value) > 1:
            yield path, list(value)
        for key, item in value.items():
            yield from _orders(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _orders(item, (*path, index))
