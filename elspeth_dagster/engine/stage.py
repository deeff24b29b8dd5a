"""A stage ready to sweep: takes tokens through its nodes, in order, or side by side where some wait."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from elspeth_dagster.engine.answers import Answered
from elspeth_dagster.engine.boundary import Boundary
from elspeth_dagster.engine.clocks import BranchTimes
from elspeth_dagster.engine.sweep import Swept, Walk
from elspeth_dagster.engine.travel import Arrived
from elspeth_dagster.engine.waiting import Waiting, side_by_side
from elspeth_dagster.graph import Graph, Node, NodeKind
from elspeth_dagster.plugins.base import Transform
from elspeth_dagster.plugins.retry import Retry
from elspeth_dagster.rows.records import Records


@dataclass
class Stage:
    """A stage ready to sweep chunks: its graph and the plugins of its transforms.

    Attributes:
        graph: The pipeline's graph.
        number: The stage's number.
        transforms: Opened plugin per transform node.
        retry: How their calls are tried again.
        waiting: How those are asked that wait on something outside; `None` where none does.
    """

    graph: Graph
    number: int
    transforms: Mapping[str, Transform]
    retry: Retry
    waiting: Waiting | None = None

    def sweep(self, records: Records, boundary: Boundary) -> tuple[Swept, Boundary]:
        """Takes some records over the boundary and through every node of stage 0.

        Returns:
            What came of it, and the boundary for the records behind.

        Raises:
            RowFailureError: A plugin raised; names node and row.
        """
        walk = Walk(self.graph)
        types = walk.cross_boundary(records, boundary)
        return self.finish(walk, records.num_records), Boundary(boundary.schema, types)

    def finish(self, walk: Walk, rows_in: int) -> Swept:
        """Takes what is under way through the rest of the stage's nodes."""
        nodes = list(self.graph.stage_nodes(self.number))
        if self.waiting is None:
            for position, node in enumerate(nodes):
                walk.record.position = position
                self._through(walk, node)
        else:
            walk.times = BranchTimes.of(self.graph, nodes)
            self._through_side_by_side(walk, nodes, self.waiting)
        return walk.result(rows_in)

    def _through(self, walk: Walk, node: Node) -> None:
        if node.kind is NodeKind.GATE:
            walk.through_gate(node)
        elif node.kind is NodeKind.TRANSFORM:
            walk.through_transform(node, self.transforms[node.name], self.retry)
        elif node.kind is NodeKind.COALESCE:
            walk.through_coalesce(node)

    def _through_side_by_side(self, walk: Walk, nodes: list[Node], waiting: Waiting) -> None:
        """As `finish` does, with transforms that wait in threads; the record is the same in any order."""
        by_name = {node.name: node for node in nodes}
        positions = {name: position for position, name in enumerate(by_name)}
        held: dict[str, Arrived] = {}

        def begin(name: str) -> Callable[[], Answered] | None:
            node, walk.record.position = by_name[name], positions[name]
            plugin = self.transforms.get(name)
            if plugin is None or not plugin.waits:
                self._through(walk, node)
                return None
            arrived = walk.take(name)
            if arrived is None:
                return None
            held[name] = arrived
            rows = arrived.rows
            ask = partial(walk.naming, node, rows, partial(waiting.ask, plugin, rows, self.retry))
            return partial(waiting.recall.answered, node, rows, ask)

        def finish(name: str, answered: Answered) -> None:
            walk.record.position = positions[name]
            walk.answered(by_name[name], self.transforms[name], held.pop(name), answered)

        needs = {
            name: frozenset(edge.source for edge in self.graph.in_edges(name)) & by_name.keys()
            for name in by_name
        }
        side_by_side(list(by_name), needs, begin, finish, waiting)
