"""The graph of a pipeline: settings to nodes, edges and stages, and every wiring error."""

from elspeth_dagster.graph.compile import compile_graph, graph_problems
from elspeth_dagster.graph.draw import draw_mermaid, draw_text
from elspeth_dagster.graph.model import Edge, EdgeMode, GateRule, Graph, Node, NodeFacts, NodeKind

__all__ = [
    "Edge",
    "EdgeMode",
    "GateRule",
    "Graph",
    "Node",
    "NodeFacts",
    "NodeKind",
    "compile_graph",
    "draw_mermaid",
    "draw_text",
    "graph_problems",
]
