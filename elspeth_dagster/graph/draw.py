"""A graph as text for the terminal, and as a Mermaid flowchart."""

from elspeth_dagster.graph.model import Edge, EdgeMode, Graph, Node, NodeKind

_SHAPES = {
    NodeKind.SOURCE: ('(["', '"])'),
    NodeKind.TRANSFORM: ('["', '"]'),
    NodeKind.GATE: ('{"', '"}'),
    NodeKind.AGGREGATION: ('[["', '"]]'),
    NodeKind.COALESCE: ('(("', '"))'),
    NodeKind.SINK: ('[("', '")]'),
}
_CONDITION_CHARACTERS = 60


def draw_text(graph: Graph) -> str:
    """One paragraph per node with the edges that leave it; divert edges have a dotted arrow."""
    lines = [f"pipeline {graph.pipeline}"]
    for node in graph.nodes.values():
        lines.extend(["", f"{node.name}  ({_what(node)})"])
        edges = graph.out_edges(node.name)
        width = max((len(edge.label) for edge in edges), default=0)
        lines.extend(f"  {_arrow(edge, width)} {edge.target}" for edge in edges)
    return "\n".join(lines) + "\n"


def _what(node: Node) -> str:
    if node.gate is not None:
        return f"{node.kind.value}: {_short(node.gate.condition.text)}"
    return f"{node.kind.value}: {node.plugin}" if node.plugin else node.kind.value


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _CONDITION_CHARACTERS else line[: _CONDITION_CHARACTERS - 1] + "…"


def _arrow(edge: Edge, width: int) -> str:
    label = edge.label.ljust(width)
    return f"·· {label} ··>" if edge.mode is EdgeMode.DIVERT else f"-- {label} -->"


def draw_mermaid(graph: Graph) -> str:
    """A Mermaid flowchart; divert edges are dashed."""
    ids = {name: f"n{index}" for index, name in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for name, node in graph.nodes.items():
        start, end = _SHAPES[node.kind]
        lines.append(
            f"    {ids[name]}{start}{_escaped(name)}<br/><small>{_escaped(_what(node))}</small>{end}"
        )
    for edge in graph.edges:
        arrow = "-.->" if edge.mode is EdgeMode.DIVERT else "-->"
        lines.append(f'    {ids[edge.source]} {arrow}|"{_escaped(edge.label)}"| {ids[edge.target]}')
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text inside Mermaid quotes: its own entity codes for what would end them or be taken for markup."""
    return "".join(f"#{ord(c)};" if c in '#"<>&|`\\' else c for c in " ".join(text.split()))
