"""What must be complete before something else may begin, by the catalogue alone."""

from typing import Any

from elspeth_dagster.engine.errors import IncompleteError
from elspeth_dagster.engine.load import END_OF_SOURCE
from elspeth_dagster.engine.work import Work
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.model import Phase


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


def stage_chunks(work: Work, stage: int) -> int:
    """How many chunks a stage has, once that is known for good.

    Raises:
        IncompleteError: Its source, or its plan, is not complete.
    """
    node = work.compiled.graph.aggregation_of(stage)
    if node is None:
        chunks: int = source_marker(work)["chunks"]
        return chunks
    marker = reads.marker(work.landscape, work.run_id, f"end_of_plan:{node.name}")
    if marker is None:
        what = f"the batches of aggregation {node.name!r} are not planned to their end"
        raise IncompleteError(work.pipeline, work.run_id, what)
    planned: int = marker["chunks"]
    return planned


def chunks_to_do(work: Work, stage: int) -> list[int]:
    """The numbers of a stage's chunks that are not committed yet."""
    done = reads.committed(work.landscape, work.run_id, Phase.PROCESS, stage_node(stage))
    return [ordinal for ordinal in range(stage_chunks(work, stage)) if ordinal not in done]


def require_fed(work: Work, sink: str) -> None:
    """Makes sure that every sink whose refusals may go to a sink is published before it.

    Raises:
        IncompleteError: One is not.
    """
    sinks = work.compiled.graph.sinks
    before = sorted({edge.source for edge in work.compiled.graph.in_edges(sink) if edge.source in sinks})
    published = {artifact.sink for artifact in reads.artifacts(work.landscape, work.run_id)} if before else ()
    missing = [name for name in before if name not in published]
    if missing:
        what = f"sink {sink!r} takes what {', '.join(map(repr, missing))} refuses, which is not published"
        raise IncompleteError(work.pipeline, work.run_id, what)


def require_processed(work: Work, stage: int) -> None:
    """Makes sure that all chunks of a stage are committed.

    Raises:
        IncompleteError: Some are missing.
    """
    missing = chunks_to_do(work, stage)
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        total = stage_chunks(work, stage)
        what = f"{len(missing)} of {total} chunks of stage {stage} are not processed ({shown})"
        raise IncompleteError(work.pipeline, work.run_id, what)
