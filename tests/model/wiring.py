"""Which node a connection leads to, and in which order nodes come (settings reference, 1.5)."""

from collections.abc import Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]


class Wiring:
    """The nodes between the source and the sinks, and the connections that join them.

    Attributes:
        nodes: Name to node.
        sinks: Name to sink.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.source = settings["source"]
        self.sinks: Mapping[str, Node] = settings["sinks"]
        sections = [
            settings.get(section) or [] for section in ("transforms", "gates", "aggregations", "coalesce")
        ]
        self.nodes: dict[str, Node] = {node["name"]: node for section in sections for node in section}
        self._consumers = {node["input"]: name for name, node in self.nodes.items() if "input" in node}
        self._into: dict[str, tuple[str, str]] = {}
        self._direct: dict[str, tuple[str, str]] = {}
        for name, node in self.nodes.items():
            for branch, connection in branches(node).items():
                own = connection == branch
                (self._direct if own else self._into)[connection] = (name, branch)

    def target(self, connection: str) -> str:
        """The sink or node that a connection leads to."""
        if connection in self.sinks:
            return connection
        return self._into[connection][0] if connection in self._into else self._consumers[connection]

    def branch_target(self, branch: str) -> str:
        """Where a fork's child of that branch goes: to the join, into a chain, or to a sink."""
        if branch in self._direct:
            return self._direct[branch][0]
        return self._consumers.get(branch, branch)

    def arrives_as(self, connection: str) -> str | None:
        """The branch that a token has come by whose last connection was this one."""
        found = self._into.get(connection) or self._direct.get(connection)
        return found[1] if found else None

    def outlets(self, name: str) -> list[str]:
        """The connections and branches that a node feeds."""
        node = self.nodes[name]
        if "routes" in node:
            ways = [way for way in node["routes"].values() if way != "fork"]
            return [self.target(way) for way in ways] + [
                self.branch_target(way) for way in node.get("fork_to", ())
            ]
        return [self.target(node.get("on_success") or name)]

    def order(self) -> list[Node]:
        """The nodes, each behind all that lead to it."""
        order: list[str] = []

        def add(name: str) -> None:
            if name in order or name in self.sinks:
                return
            for target in self.outlets(name):
                add(target)
            order.insert(0, name)

        add(self.target(self.source["on_success"]))
        return [self.nodes[name] for name in order]

    def publish_order(self) -> list[str]:
        """The sinks; one whose failures go to another comes before it."""
        leading = [name for name, sink in self.sinks.items() if sink.get("on_write_failure") in self.sinks]
        return leading + [name for name in self.sinks if name not in leading]

    def takes_diverted(self, sink: str) -> bool:
        """Whether a divert edge leads to a sink."""
        ways = {failure_of(self.source)} | {node.get("on_error") for node in self.nodes.values()}
        return sink in ways | {other.get("on_write_failure") for other in self.sinks.values()}

    def anchor(self, coalesce: Node) -> str:
        """The gate where the branches of a join part: the last one that all of them have come through."""
        ways = [self._gates_before(branch) for branch in branches(coalesce)]
        common = [gate for gate in ways[0] if all(gate in way for way in ways)]
        return common[-1]

    def lineage(self, coalesce: Node, branch: str) -> list[tuple[str, str]]:
        """The forks from the anchor of a join to one of its branches, each as gate and branch."""
        (gate,) = [name for name, node in self.nodes.items() if branch in node.get("fork_to", ())]
        anchor, forks, name = self.anchor(coalesce), [(gate, branch)], gate
        while forks[0][0] != anchor:
            node = self.nodes[name]
            before = self.anchor(node) if "branches" in node else next(iter(self._before(name)))
            if "branches" not in node:
                taken = [b for b in self.nodes[before].get("fork_to", ()) if self.branch_target(b) == name]
                forks = [(before, each) for each in taken] + forks
            name = before
        return forks

    def in_fork_order(self, coalesce: Node) -> list[str]:
        """The branches of a join as forks make them."""

        def places(branch: str) -> list[int]:
            return [self.nodes[gate]["fork_to"].index(each) for gate, each in self.lineage(coalesce, branch)]

        return sorted(branches(coalesce), key=places)

    def _gates_before(self, branch: str) -> list[str]:
        """The gates on the way to a branch, the first one first."""
        (gate,) = [name for name, node in self.nodes.items() if branch in node.get("fork_to", ())]
        return [*self._gates_of(gate), gate]

    def _gates_of(self, name: str) -> list[str]:
        before = list(self._before(name))
        return (
            []
            if not before
            else [*self._gates_of(before[0]), *([before[0]] if self._is_gate(before[0]) else [])]
        )

    def _before(self, name: str) -> Iterator[str]:
        return (other for other in self.nodes if name in self.outlets(other))

    def _is_gate(self, name: str) -> bool:
        return "routes" in self.nodes[name]


def branches(node: Node) -> dict[str, str]:
    """The branches of a coalesce, each with the connection by which it arrives."""
    given = node.get("branches") or {}
    return dict(given) if isinstance(given, dict) else {branch: branch for branch in given}


def failure_of(source: Node) -> str | None:
    """Where a source's invalid records go."""
    return (source.get("options") or {}).get("on_validation_failure") or source.get("on_validation_failure")
