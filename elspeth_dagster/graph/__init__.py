"""The graph of a pipeline: settings to nodes, edges and stages, and every wiring error."""

from elspeth_dagster.graph.compile import Examined, examine
from elspeth_dagster.graph.draw import draw_mermaid, draw_text
from elspeth_dagster.graph.model import (
    AggregationRule,
    CoalesceRule,
    Edge,
    EdgeMode,
    GateRule,
    Graph,
    Node,
    NodeFacts,
    NodeKind,
    PathElement,
)

__all__ = [
    "AggregationRule",
    "CoalesceRule",
    "Edge",
    "EdgeMode",
    "Examined",
    "GateRule",
    "Graph",
    "Node",
    "NodeFacts",
    "NodeKind",
    "PathElement",
    "draw_mermaid",
    "draw_text",
    "examine",
]
