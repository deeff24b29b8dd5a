"""When the branches of coalesces were last heard of: a lost branch has no token that could tell."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from elspeth_dagster.engine.travel import Arrived, Positions
from elspeth_dagster.graph import CoalesceRule, EdgeMode, Graph, Node

_Branch = tuple[str, str]
"""A coalesce and one of its branches."""


@dataclass
class BranchTimes:
    """Per coalesce, branch and token that entered the anchor, until when the branch was under way.

    Attributes:
        rules: What each coalesce joins.
        through: For each node the branches whose way goes through it.
    """

    rules: Mapping[str, CoalesceRule]
    through: Mapping[str, tuple[_Branch, ...]]
    _times: dict[_Branch, Positions] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, nodes: list[Node]) -> "BranchTimes":
        """For the coalesces among some nodes."""
        rules = {node.name: node.coalesce for node in nodes if node.coalesce is not None}
        through: dict[str, list[_Branch]] = {}
        for name, rule in rules.items():
            for edge in graph.in_edges(name):
                if edge.branch is not None:
                    for node in _way_back(graph, rules, edge.source, rule.anchor):
                        through.setdefault(node, []).append((name, edge.branch))
        return cls(rules, {node: tuple(branches) for node, branches in through.items()})

    def part(self, gate: str, arrived: Arrived) -> None:
        """Tokens entered a gate and were forked there."""
        for name, rule in self.rules.items():
            if rule.anchor == gate:
                for branch in rule.branches:
                    self._times[name, branch] = arrived.arrived_us.to_numpy().copy()

    def hear(self, node: str, arrived: Arrived, at_us: Positions, *, anchor: str | None = None) -> None:
        """Tokens came to a node, which was done with each of them at a time.

        Args:
            node: The node.
            arrived: The tokens.
            at_us: When (int64, µs).
            anchor: The gate that they entered, where the tokens are those of an anchor.
        """
        for name, branch in self.through.get(node, ()):
            gate = self.rules[name].anchor
            positions = np.arange(len(at_us)) if gate == anchor else arrived.anchors[gate]
            self._times[name, branch][positions] = at_us

    def of_coalesce(self, name: str) -> dict[str, Positions]:
        """Per branch and anchor token, until when it was under way."""
        return {branch: self._times[name, branch] for branch in self.rules[name].branches}


def _way_back(graph: Graph, rules: Mapping[str, CoalesceRule], node: str, anchor: str) -> Iterator[str]:
    """The nodes from one back to the anchor, which is left out; a join between is left by its own anchor."""
    while node != anchor:
        yield node
        if node in rules:
            node = rules[node].anchor
        else:
            node = next(e.source for e in graph.in_edges(node) if e.mode is not EdgeMode.DIVERT)
