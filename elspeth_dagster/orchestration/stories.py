"""What became of a run's rows, for people: when it completes, and when it fails."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from elspeth_dagster.accounting import Counts, Measure, Tally, discarded_of_run, is_discarded
from elspeth_dagster.engine.completeness import stage_node
from elspeth_dagster.engine.errors import ChecksFailedError
from elspeth_dagster.engine.load import END_OF_SOURCE
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.graph import Graph, Node, NodeKind
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.orchestration.names import ACCEPT_CHECKS_TAG


@dataclass(frozen=True)
class FlowRow:
    """One node of a completed run.

    Attributes:
        node: Its name.
        kind: What it is.
        rows_in: What came, or was read.
        went_to: Where it went: nodes and outcomes with their counts.
    """

    node: str
    kind: str
    rows_in: int
    went_to: str


def summary(graph: Graph, run_id: str, counts: Counts, tallies: Sequence[Tally]) -> str:
    """A completed run in one line."""
    ended = _ended(tallies)
    delivered = [f"{sink} {ended.get((sink, sink), 0):,}" for sink in graph.sinks]
    discarded = discarded_of_run(tallies)
    return (
        f"{graph.pipeline}, run {run_id}: {counts.rows_in:,} rows in, {counts.succeeded:,} succeeded, "
        f"{counts.failed:,} failed, {counts.quarantined:,} quarantined"
        + (f", {counts.consumed:,} consumed in batches" if counts.consumed else "")
        + f"; in the sinks: {', '.join(delivered)}"
        + (f"; discarded: {discarded:,}" if discarded else "")
    )


def _ended(tallies: Iterable[Tally]) -> dict[tuple[str, str], int]:
    """Tokens that ended, by node and by the sink that has them."""
    ended: dict[tuple[str, str], int] = {}
    for tally in tallies:
        if tally.measure is Measure.ENDED:
            place = (tally.node, tally.target)
            ended[place] = ended.get(place, 0) + tally.count
    return ended


def flow(graph: Graph, tallies: Sequence[Tally]) -> list[FlowRow]:
    """What came into each node and where it went, in the order of the graph."""
    return [
        FlowRow(name, node.kind.value, _came(node, tallies), _went(name, tallies))
        for name, node in graph.nodes.items()
    ]


def _came(node: Node, tallies: Iterable[Tally]) -> int:
    measure = Measure.CREATED if node.kind is NodeKind.SOURCE else Measure.IN
    return sum(tally.count for tally in tallies if tally.node == node.name and tally.measure is measure)


def _went(node: str, tallies: Iterable[Tally]) -> str:
    own = [tally for tally in tallies if tally.node == node and tally.count]
    out = [f"{t.target} {t.count:,}" for t in own if t.measure is Measure.OUT]
    kept = [f"{t.label} {t.count:,}" for t in own if t.measure is Measure.ENDED and t.target]
    lost = [f"{t.label}, discarded {t.count:,}" for t in own if is_discarded(t)]
    turned = [
        f"{t.label} {t.count:,}"
        for t in own
        if t.measure is Measure.ENDED and not t.target and not is_discarded(t)
    ]
    return "; ".join(out + kept + turned + lost)


def failure(landscape: Landscape, run_id: str, error: ElspethError | None = None) -> dict[str, str]:
    """What is kept of a run that failed, and how to go on."""
    kept = _kept(landscape, run_id)
    if isinstance(error, ChecksFailedError):
        return kept | {"next": f"change `dagster.checks` in the settings, then {_FROM_FAILURE}; {_ACCEPT}"}
    return kept | {"next": f"mend the cause; then {_FROM_FAILURE}, or elspeth resume {run_id}"}


_FROM_FAILURE = '"From failure" in the menu beside "Re-execute all"'
_ACCEPT = (
    "or publish as it is: on the page Runs, tick the run, Actions, Re-execute from failure, with the tag "
    f"{ACCEPT_CHECKS_TAG}=REASON"
)


def interruption(landscape: Landscape, run_id: str) -> str:
    """The same of a run that was interrupted, as one text."""
    kept = "; ".join(f"{name}: {said}" for name, said in _kept(landscape, run_id).items())
    return f"run {run_id} was interrupted. {kept}. To go on: {_FROM_FAILURE}, or elspeth resume {run_id}"


def _kept(landscape: Landscape, run_id: str) -> dict[str, str]:
    try:
        chunks = reads.chunks(landscape, run_id, 0)
        whole = reads.marker(landscape, run_id, END_OF_SOURCE) is not None
        swept = len(reads.committed(landscape, run_id, Phase.PROCESS, stage_node(0)))
        published = [artifact.sink for artifact in reads.artifacts(landscape, run_id)]
        kinds = [node.kind for node in reads.nodes(landscape, run_id)]
    except ElspethError as error:
        return {"kept": f"unknown: {error}"}
    read = f"{sum(chunk.records for chunk in chunks):,} records read"
    read += ", all there are" if whole else " so far"
    of_all = f" ({len(published)} of {kinds.count(NodeKind.SINK.value)} sinks)" if kinds else ""
    return {
        "kept": f"{read}; {swept:,} of {len(chunks):,} chunks processed; it is not done again",
        "published": f"{', '.join(published) or 'nothing'}{of_all}",
    }
