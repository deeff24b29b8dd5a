"""SINK: publishes one sink of a run, from what every stage left for it."""

from collections.abc import Callable

from elspeth_dagster.engine.completeness import require_fed
from elspeth_dagster.engine.publish import Publication, publish_sink
from elspeth_dagster.engine.refusals import Failure
from elspeth_dagster.engine.work import Work
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.graph import EdgeMode
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.commits import ArtifactFacts
from elspeth_dagster.landscape.model import AttemptStatus
from elspeth_dagster.landscape.section import enter_section, leave_section
from elspeth_dagster.plugins.base import Sink
from elspeth_dagster.plugins.partitioned import are_apart


def publish_sink_of(
    work: Work,
    sink: str,
    *,
    admit: Callable[[], None] = lambda: None,
    orphaned_s: Callable[[str], float] = lambda _run_id: 0.0,
) -> ArtifactFacts:
    """Publishes a sink, once; done already, only its artifact is given.

    The first publish of a run waits until no other run of the pipeline publishes, or of its partition where
    partitions have targets of their own.

    Args:
        work: The run.
        sink: The sink's name.
        admit: Called before the run's first publish, once no other can come between; raises to refuse it.
        orphaned_s: How long it waits for another run, named by its id, to be continued that died while it
            published.

    Raises:
        IncompleteError: A sink that comes before it is not published.
        SectionHeldError: Another run stopped while it published.
        ElspethError: As `publish_sink`.
    """
    if work.attempt.status is not AttemptStatus.COMPLETED:
        require_fed(work, sink)
        partition = work.launch.partition if are_apart(work.compiled.settings) else None
        enter_section(
            work.landscape,
            work.attempt,
            partition=partition,
            say=work.progress.say,
            pause=work.pause,
            orphaned_s=orphaned_s,
        )
        _admit(work, admit)
    graph = work.compiled.graph
    failure_name = work.compiled.settings.sinks[sink].on_write_failure
    failure_sink = _plugin(work, failure_name) if failure_name in graph.sinks else None
    publication = Publication(
        sink,
        _plugin(work, sink),
        takes_any=any(edge.mode is EdgeMode.DIVERT for edge in graph.in_edges(sink)),
        failure=Failure(failure_name, failure_sink),
    )
    return publish_sink(work.landscape, work.attempt, publication, work.context(sink))


def _admit(work: Work, admit: Callable[[], None]) -> None:
    """Leaves again when the run may not publish, and has not begun to."""
    if reads.artifacts(work.landscape, work.run_id):
        return
    try:
        admit()
    except ElspethError:
        work.landscape.insist(lambda connection: leave_section(connection, work.run_id))
        raise


def _plugin(work: Work, name: str) -> Sink:
    plugin = work.compiled.create(name)
    assert isinstance(plugin, Sink)
    return plugin
