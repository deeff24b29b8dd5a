"""Between two stages: forms an aggregation's batches, and cuts the next stage's chunks as runs of them."""

from collections.abc import Iterator
from typing import Any

from elspeth_dagster.engine.batches import Batch, batches_of_table, batches_table, form_batches
from elspeth_dagster.engine.completeness import require_processed
from elspeth_dagster.engine.inbound import Members
from elspeth_dagster.engine.work import Work
from elspeth_dagster.graph import Node
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.commits import ChunkFacts, CommitDraft, CommitKey, commit
from elspeth_dagster.landscape.model import Phase


def plan_node(aggregation: str) -> str:
    """The node name under which an aggregation's plan is committed."""
    return f"plan_{aggregation}"


def end_of_plan(aggregation: str) -> str:
    """The name of the marker that says that a plan is whole."""
    return f"end_of_plan:{aggregation}"


def plan_stage(work: Work, stage: int) -> dict[str, Any]:
    """Plans the batches of the aggregation that a stage begins with.

    Returns:
        The marker: `{"chunks": …, "batches": …, "members": …}`.

    Raises:
        IncompleteError: The stage before is not processed to its end.
    """
    node = work.compiled.graph.aggregation_of(stage)
    assert node is not None
    marker = reads.marker(work.landscape, work.run_id, end_of_plan(node.name))
    if marker is not None:
        return marker
    before = work.compiled.graph.parent_stage(stage)
    assert before is not None
    require_processed(work, before)
    done = reads.chunks(work.landscape, work.run_id, stage)
    planned = sum(chunk.records for chunk in done)
    assert node.aggregation is not None
    members = Members.of(work.landscape, work.run_id, node.name)
    counted = _Counted(form_batches(node.aggregation, members.arrivals()))
    left = (batch for batch in counted if batch.first >= planned)
    chunks = len(done)
    for chunks, run in enumerate(_runs(left, work.chunk_rows), len(done) + 1):
        _commit_chunk(work, node, stage, chunks - 1, run, members)
    marker = {"chunks": chunks, "batches": counted.batches, "members": counted.members}
    key = CommitKey(Phase.PROCESS, plan_node(node.name), chunks)
    commit(work.landscape, work.attempt, CommitDraft(key, markers={end_of_plan(node.name): marker}))
    return marker


def planned_batches(work: Work, stage: int, chunk: int) -> list[Batch]:
    """The batches of one of a stage's chunks."""
    node = work.compiled.graph.aggregation_of(stage)
    assert node is not None
    (segment,) = reads.segments_of(
        work.landscape,
        work.run_id,
        phase=Phase.PROCESS,
        node=plan_node(node.name),
        ordinal=chunk,
        table="batches",
    )
    return batches_of_table(reads.read_segment(work.landscape, segment))


class _Counted:
    """Batches that are counted as they go by."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches_left = batches
        self.batches = 0
        self.members = 0

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches_left:
            self.batches += 1
            self.members += batch.members
            yield batch


def _runs(batches: Iterator[Batch], rows: int) -> Iterator[list[Batch]]:
    """Runs of whole batches with at most `rows` members, or of one batch that has more."""
    run: list[Batch] = []
    members = 0
    for batch in batches:
        if run and members + batch.members > rows:
            yield run
            run, members = [], 0
        run.append(batch)
        members += batch.members
    if run:
        yield run


def _commit_chunk(
    work: Work, node: Node, stage: int, ordinal: int, run: list[Batch], members: Members
) -> None:
    first = next(members.read(run[0].first, 1))
    cursor = {"first_batch": run[0].number, "first_token": first.rows.tokens[0].as_py().hex()}
    facts = ChunkFacts(stage, ordinal, run[0].first, sum(batch.members for batch in run), 0, cursor)
    draft = CommitDraft(
        CommitKey(Phase.PROCESS, plan_node(node.name), ordinal),
        tables={"batches": batches_table(node.name, run)},
        chunk=facts,
    )
    commit(work.landscape, work.attempt, draft)
