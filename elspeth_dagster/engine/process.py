"""PROCESS: sweeps the chunks of a stage that are not committed yet, and commits them one by one."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from elspeth_dagster.accounting import tally_sweep
from elspeth_dagster.engine.behind import one_behind
from elspeth_dagster.engine.boundary import Boundary, TypesState
from elspeth_dagster.engine.errors import IncompleteError
from elspeth_dagster.engine.lifecycle import opened
from elspeth_dagster.engine.load import END_OF_SOURCE
from elspeth_dagster.engine.parts import write_part
from elspeth_dagster.engine.record import SweepRecord
from elspeth_dagster.engine.sweep import Stage, Swept
from elspeth_dagster.engine.work import Work
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, PartFile, attempt_folder, commit
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.plugins.base import Sink, Transform
from elspeth_dagster.rows.fields import Schema
from elspeth_dagster.rows.records import Records


def stage_node(stage: int) -> str:
    """The node name under which a stage's sweeps are committed."""
    return f"stage_{stage}"


def source_marker(work: Work) -> dict[str, Any]:
    """The end-of-source marker.

    Raises:
        IncompleteError: The source has not been read to its end.
    """
    marker = reads.marker(work.landscape, work.run_id, END_OF_SOURCE)
    if marker is None:
        raise IncompleteError(work.pipeline, work.run_id, "the source has not been read to its end")
    return marker


def process_shard(work: Work, *, stage: int, shard: int, shards: int) -> int:
    """Sweeps this shard's share of a stage: the chunks whose number leaves `shard` when divided by `shards`.

    Returns:
        How many chunks were swept now.
    """
    marker = source_marker(work)
    done = reads.committed(work.landscape, work.run_id, Phase.PROCESS, stage_node(stage))
    todo = [ordinal for ordinal in range(shard, marker["chunks"], shards) if ordinal not in done]
    if not todo:
        return 0
    graph = work.compiled.graph
    made = {node.name: work.compiled.create(node.name) for node in graph.nodes.values() if node.plugin}
    stage_names = {node.name for node in graph.stage_nodes(stage)}
    transforms = {n: p for n, p in made.items() if n in stage_names and isinstance(p, Transform)}
    sinks = {name: plugin for name, plugin in made.items() if isinstance(plugin, Sink)}
    contexts = {name: work.context(name) for name in transforms}
    with opened(transforms, contexts), one_behind() as behind:
        sweeper = Stage(graph, transforms)
        for ordinal in todo:
            swept = _sweep_chunk(work, sweeper, ordinal)
            key = CommitKey(Phase.PROCESS, stage_node(stage), ordinal)
            behind.do(partial(_commit, work, key, swept, sinks))
    return len(todo)


def _sweep_chunk(work: Work, sweeper: Stage, ordinal: int) -> Swept:
    records = _records(work, ordinal)
    if records is None:
        return Swept(SweepRecord().tables(), {}, 0)
    return sweeper.sweep(records, Boundary(_source_schema(work), _types_before(work, ordinal)))


def _commit(work: Work, key: CommitKey, swept: Swept, sinks: Mapping[str, Sink]) -> None:
    tallies = tally_sweep(swept.tables)
    parts = _write_parts(work, key, swept, sinks)
    commit(work.landscape, work.attempt, CommitDraft(key, swept.tables, tallies, parts))
    work.progress.advance(swept.rows_in, "processed")


def _source_schema(work: Work) -> Schema:
    return work.compiled.graph.nodes["source"].schema


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


def _write_parts(work: Work, key: CommitKey, swept: Swept, sinks: Mapping[str, Sink]) -> tuple[PartFile, ...]:
    folder = attempt_folder(work.landscape, work.attempt)
    return tuple(
        write_part(
            folder, f"{key.node}-{key.ordinal}-{number}", part.rows, part.edges, sinks[sink], sink_name=sink
        )
        for number, (sink, part) in enumerate(sorted(swept.parts.items()))
    )
