"""What the graph has to know of a node, from its plugin and options."""

from elspeth_dagster.graph import NodeFacts
from elspeth_dagster.plugins.base import Plugin, Transform, promised
from elspeth_dagster.plugins.batch import BatchPlugin
from elspeth_dagster.plugins.sinks.file import LaidOutSink


def node_facts(plugin: Plugin) -> NodeFacts:
    """What a configured plugin says about the rows that its node takes and gives."""
    if isinstance(plugin, Transform | BatchPlugin):
        return _transform_facts(plugin)
    return NodeFacts(
        schema=plugin.schema,
        guaranteed=promised(plugin.schema),
        required=plugin.schema.required_fields,
        takes_failures=isinstance(plugin, LaidOutSink),
    )


def _transform_facts(plugin: Transform | BatchPlugin) -> NodeFacts:
    asked = tuple(getattr(plugin.options, "required_input_fields", ()))
    return NodeFacts(
        schema=plugin.schema,
        guaranteed=plugin.guarantees(),
        required=asked or plugin.schema.required_fields,
        required_key=("required_input_fields",) if asked else ("schema", "required_fields"),
        own_fields=isinstance(plugin, BatchPlugin) or not plugin.keeps_fields,
        expands=isinstance(plugin, Transform) and plugin.expands,
        reads=plugin.fields_read(),
    )
