"""A graph as text for the terminal, and as a Mermaid flowchart."""

from collections.abc import Iterator

from elspeth_dagster.graph.model import AggregationRule, CoalesceRule, Edge, EdgeMode, Graph, Node, NodeKind
from elspeth_dagster.settings.nodes import CoalescePolicy, OutputMode

_SHAPES = {
    NodeKind.SOURCE: ('(["', '"])'),
    NodeKind.TRANSFORM: ('["', '"]'),
    NodeKind.GATE: ('{"', '"}'),
    NodeKind.AGGREGATION: ('[["', '"]]'),
    NodeKind.COALESCE: ('(("', '"))'),
    NodeKind.SINK: ('[("', '")]'),
}
_CONDITION_CHARACTERS = 60
_TEXT_ARROWS = {
    EdgeMode.MOVE: "-- {} -->",
    EdgeMode.COPY: "== {} ==>",
    EdgeMode.DIVERT: "·· {} ··>",
}
_MERMAID_ARROWS = {EdgeMode.MOVE: "-->", EdgeMode.COPY: "==>", EdgeMode.DIVERT: "-.->"}


def draw_text(graph: Graph) -> str:
    """One paragraph per node with the edges that leave it; a copy's arrow is double, a divert's dotted.

    Nodes stand by stages when there are several.
    """
    lines = [f"pipeline {graph.pipeline}"]
    for title, nodes in _sections(graph):
        if title:
            lines.extend(["", f"[{title}]"])
        for node in nodes:
            lines.extend(["", f"{node.name}  ({_what(node)})"])
            edges = graph.out_edges(node.name)
            width = max((len(_label(edge)) for edge in edges), default=0)
            lines.extend(
                f"  {_TEXT_ARROWS[edge.mode].format(_label(edge).ljust(width))} {edge.target}"
                for edge in edges
            )
    return "\n".join(lines) + "\n"


def _sections(graph: Graph) -> Iterator[tuple[str, tuple[Node, ...]]]:
    """The nodes of each stage with its title, then the sinks; one section without a title for one stage."""
    if len(graph.stages) == 1:
        yield "", tuple(graph.nodes.values())
        return
    for stage in graph.stages:
        yield _stage_title(graph, stage), graph.stage_nodes(stage)
    yield "sinks", tuple(graph.nodes[name] for name in graph.sinks)


def _stage_title(graph: Graph, stage: int) -> str:
    parent = graph.parent_stage(stage)
    return f"stage {stage}" if parent is None else f"stage {stage}, behind stage {parent}"


def _label(edge: Edge) -> str:
    if edge.branch is None or edge.branch == edge.label:
        return edge.label
    return f"{edge.label} (branch {edge.branch})"


def _what(node: Node) -> str:
    words = [node.kind.value]
    if node.gate is not None:
        words.append(_short(node.gate.condition.text))
    elif node.coalesce is not None:
        words.append(_coalesce(node.coalesce))
    elif node.aggregation is not None:
        words.append(f"{node.plugin}, {_aggregation(node.aggregation)}")
    elif node.plugin:
        words.append(node.plugin)
    return ": ".join(words)


def _coalesce(rule: CoalesceRule) -> str:
    policy = rule.policy.value
    if rule.policy is CoalescePolicy.QUORUM:
        policy += f" of {rule.quorum_count}"
    merge = rule.merge.value + (f" {rule.select_branch}" if rule.select_branch else "")
    words = [policy, merge, f"forked at {rule.anchor}"]
    if rule.timeout_seconds is not None:
        words.insert(1, f"{rule.timeout_seconds:g} s")
    return ", ".join(words)


def _aggregation(rule: AggregationRule) -> str:
    triggers = []
    if rule.count is not None:
        triggers.append(f"{rule.count} rows")
    if rule.timeout_seconds is not None:
        triggers.append(f"{rule.timeout_seconds:g} s")
    if rule.condition is not None:
        triggers.append(_short(rule.condition.text))
    mode = ", passthrough" if rule.output_mode is OutputMode.PASSTHROUGH else ""
    return " or ".join(triggers) + mode


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _CONDITION_CHARACTERS else line[: _CONDITION_CHARACTERS - 1] + "…"


def draw_mermaid(graph: Graph) -> str:
    """A Mermaid flowchart; copy edges are thick, divert edges dashed, and stages are boxes."""
    ids = {name: f"n{index}" for index, name in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for number, (title, nodes) in enumerate(_sections(graph)):
        is_box = bool(title) and nodes[0].kind is not NodeKind.SINK
        if is_box:
            lines.append(f'    subgraph s{number}["{title}"]')
        indent = "        " if is_box else "    "
        lines.extend(f"{indent}{ids[node.name]}{_mermaid_node(node)}" for node in nodes)
        if is_box:
            lines.append("    end")
    for edge in graph.edges:
        arrow = f'{_MERMAID_ARROWS[edge.mode]}|"{_escaped(_label(edge))}"|'
        lines.append(f"    {ids[edge.source]} {arrow} {ids[edge.target]}")
    return "\n".join(lines) + "\n"


def _mermaid_node(node: Node) -> str:
    start, end = _SHAPES[node.kind]
    return f"{start}{_escaped(node.name)}<br/><small>{_escaped(_what(node))}</small>{end}"


def _escaped(text: str) -> str:
    """Text inside Mermaid quotes: its own entity codes for what would end them or be taken for markup."""
    return "".join(f"#{ord(c)};" if c in '#"<>&|`\\' else c for c in " ".join(text.split()))
