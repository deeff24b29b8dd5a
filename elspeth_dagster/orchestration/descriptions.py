"""What the definitions say of a pipeline in Dagster's catalog, before anything has run."""

from elspeth_dagster.graph import Edge, Graph, NodeKind, draw_text
from elspeth_dagster.orchestration.markdown import block, code
from elspeth_dagster.orchestration.platform import platform_root
from elspeth_dagster.plugins.compile import Compiled
from elspeth_dagster.settings.names import DISCARD

_DIVERTS = {
    "on_validation_failure": "records that do not fit its schema",
    "on_error": "rows that it could not work on",
    "on_write_failure": "rows that it could not write",
}


def of_source(compiled: Compiled) -> str:
    """What the source reads, and where goes what does not fit."""
    source = compiled.settings.source
    place = source.options.get("path")
    reads = f"Reads {code(compiled.settings.scrubbed(str(place)))}" if isinstance(place, str) else "Reads"
    schema = compiled.graph.nodes["source"].schema
    fields = f", {len(schema.fields)} declared fields" if schema.fields else ""
    return (
        f"{reads} with plugin {code(source.plugin)} and freezes every record as received.\n\n"
        f"Schema: {schema.mode.value}{fields}.{_misfits(source.on_validation_failure)}"
    )


def _misfits(destination: str | None) -> str:
    if destination is None:
        return ""
    goes = "is recorded and discarded" if destination == DISCARD else f"goes to {code(destination)}"
    return f" What does not fit {goes}."


def of_sink(compiled: Compiled, sink: str) -> str:
    """Where a sink writes, and by which ways rows come there."""
    graph = compiled.graph
    place = graph.nodes[sink].options.get("path")
    target = (
        f"{code(compiled.settings.scrubbed(str(place)))}, written" if isinstance(place, str) else "Written"
    )
    ways = [_way(graph, edge) for edge in graph.in_edges(sink)]
    gates = list(dict.fromkeys(gate for _, passed in ways for gate in passed))
    lines = [f"{target} by plugin {code(graph.nodes[sink].plugin or '')}. Rows come by", ""]
    lines += [f"- {way}" for way, _ in ways]
    if gates:
        lines += ["", "The gates on the way:", ""]
        lines += [f"- {code(gate)} by {code(_condition(graph, gate))}" for gate in gates]
    return "\n".join(lines)


def _way(graph: Graph, last: Edge) -> tuple[str, list[str]]:
    """The nodes up to an edge, as far back as there is but one way, and the gates among them."""
    edges = [last]
    while len(before := graph.in_edges(edges[0].source)) == 1:
        edges.insert(0, before[0])
    gates = [edge.source for edge in edges if graph.nodes[edge.source].kind is NodeKind.GATE]
    return " → ".join(_step(graph, edge) for edge in edges), gates


def _step(graph: Graph, edge: Edge) -> str:
    if edge.label in _DIVERTS:
        return f"{code(edge.source)}: {_DIVERTS[edge.label]}"
    if graph.nodes[edge.source].kind is NodeKind.GATE:
        return f"{code(edge.source)} = {code(edge.label)}"
    return code(edge.source)


def _condition(graph: Graph, gate: str) -> str:
    rule = graph.nodes[gate].gate
    return rule.condition.text if rule else ""


def of_job(compiled: Compiled) -> str:
    """The pipeline's graph, as `elspeth validate` draws it."""
    path, root = compiled.settings.path, platform_root()
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return f"Runs {code(str(shown))} as a whole.\n\n{block(draw_text(compiled.graph))}"
