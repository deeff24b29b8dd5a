"""PROCESS: sweeps the chunks of a stage that are not committed yet, and commits them one by one."""

from collections.abc import Iterator, Mapping
from functools import partial

from elspeth_dagster.engine.answers import Recall
from elspeth_dagster.engine.batching import Batching
from elspeth_dagster.engine.behind import one_behind
from elspeth_dagster.engine.boundary import Boundary, TypesState
from elspeth_dagster.engine.chunk_commit import ChunkCommit
from elspeth_dagster.engine.completeness import chunks_to_do, stage_node
from elspeth_dagster.engine.giant import GiantBatch, is_giant
from elspeth_dagster.engine.inbound import Members
from elspeth_dagster.engine.lifecycle import opened
from elspeth_dagster.engine.plan import planned_batches
from elspeth_dagster.engine.stage import Stage
from elspeth_dagster.engine.sweep import Swept
from elspeth_dagster.engine.travel import in_token_order
from elspeth_dagster.engine.waiting import Waiting
from elspeth_dagster.engine.work import Work
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.commits import CommitKey
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.plugins.base import Plugin, Sink, Transform
from elspeth_dagster.plugins.batch import BatchPlugin
from elspeth_dagster.rows.records import Records

_EXPANDING_SLICE_RECORDS = 4_000
"""So many records at once where a node may make many tokens of each."""


def process_shard(work: Work, *, stage: int, shard: int, shards: int) -> int:
    """Sweeps this shard's share of a stage: the chunks whose number leaves `shard` when divided by `shards`.

    Returns:
        How many chunks were swept now.

    Raises:
        IncompleteError: What the stage is fed from is not complete.
        RowFailureError: A plugin raised; names node and row.
    """
    todo = [ordinal for ordinal in chunks_to_do(work, stage) if ordinal % shards == shard]
    if not todo:
        return 0
    graph = work.compiled.graph
    here = {node.name for node in graph.stage_nodes(stage)}
    made = {node.name: work.compiled.create(node.name) for node in graph.nodes.values() if node.plugin}
    working = {name: p for name, p in made.items() if name in here and isinstance(p, Transform | BatchPlugin)}
    sinks = {name: plugin for name, plugin in made.items() if isinstance(plugin, Sink)}
    contexts = {name: work.context(name) for name in working}
    aggregation = graph.aggregation_of(stage)
    members = Members.of(work.landscape, work.run_id, aggregation.name) if aggregation else None
    with opened(working, contexts), one_behind() as behind:
        for ordinal in todo:
            chunk = ChunkCommit(work, CommitKey(Phase.PROCESS, stage_node(stage), ordinal), sinks)
            try:
                for swept in _sweeps(work, stage, ordinal, working, members):
                    behind.do(partial(chunk.add, swept))
                behind.do(chunk.commit)
            except BaseException as error:
                # What is still being written is not to be closed under its writer.
                behind.settle(error)
                chunk.abandon(error)
                raise
    return len(todo)


def _sweeps(
    work: Work, stage: int, ordinal: int, plugins: Mapping[str, Plugin], members: Members | None
) -> Iterator[Swept]:
    """A chunk's sweeps, slice by slice; `members` are what the stage's aggregation takes, if it has one."""
    transforms = {name: plugin for name, plugin in plugins.items() if isinstance(plugin, Transform)}
    waits = any(plugin.waits for plugin in transforms.values())
    waiting = Waiting(Recall(work, stage, ordinal), work.workers, work.stopwatch) if waits else None
    sweeper = Stage(work.compiled.graph, stage, transforms, work.retry, waiting)
    aggregation = work.compiled.graph.aggregation_of(stage)
    if aggregation is None or members is None:
        yield from _sweep_records(work, sweeper, ordinal)
        return
    plugin = plugins[aggregation.name]
    assert isinstance(plugin, BatchPlugin)
    batches = planned_batches(work, stage, ordinal)
    yield from _sweep_batches(work, Batching(sweeper, aggregation, plugin, batches), members)


def _sweep_records(work: Work, sweeper: Stage, ordinal: int) -> Iterator[Swept]:
    records = _records(work, ordinal)
    if records is None:
        return
    boundary = Boundary(work.compiled.graph.nodes["source"].schema, _types_before(work, ordinal))
    expands = any(plugin.expands for plugin in sweeper.transforms.values())
    step = _EXPANDING_SLICE_RECORDS if expands else records.num_records
    for start in range(0, records.num_records, max(step, 1)):
        piece = records.slice(start, min(step, records.num_records - start))
        swept, boundary = sweeper.sweep(piece, boundary)
        yield swept


def _sweep_batches(work: Work, batching: Batching, members: Members) -> Iterator[Swept]:
    count = sum(batch.members for batch in batching.batches)
    read = partial(members.read, batching.batches[0].first, count)
    if is_giant(batching, work.chunk_rows):
        yield from GiantBatch(batching, read, work.chunk_rows).sweep()
    else:
        yield batching.sweep(in_token_order(list(read())))


def _records(work: Work, ordinal: int) -> Records | None:
    """A chunk's records; `None` for a chunk that has only notices, for which no segment is written."""
    segments = reads.segments_of(
        work.landscape, work.run_id, phase=Phase.SOURCE, node="source", ordinal=ordinal, table="records"
    )
    return Records.from_table(reads.read_segment(work.landscape, segments[0])) if segments else None


def _types_before(work: Work, ordinal: int) -> TypesState:
    """The types learned from all records before a chunk."""
    if ordinal == 0:
        return TypesState()
    before = reads.chunk(work.landscape, work.run_id, 0, ordinal - 1)
    return TypesState.from_json(before.cursor["types"])
