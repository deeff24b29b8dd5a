"""SINK: publishes one sink of a run, from what every stage left for it."""

from elspeth_dagster.engine.completeness import require_fed
from elspeth_dagster.engine.publish import Publication, publish_sink
from elspeth_dagster.engine.refusals import Failure
from elspeth_dagster.engine.work import Work
from elspeth_dagster.graph import EdgeMode
from elspeth_dagster.landscape.commits import ArtifactFacts
from elspeth_dagster.landscape.model import AttemptStatus
from elspeth_dagster.landscape.section import enter_section
from elspeth_dagster.plugins.base import Sink
from elspeth_dagster.plugins.partitioned import are_apart


def publish_sink_of(work: Work, sink: str) -> ArtifactFacts:
    """Publishes a sink, once; done already, only its artifact is given.

    The first publish of a run waits until no other run of the pipeline publishes, or of its partition where
    partitions have targets of their own.

    Raises:
        IncompleteError: A sink that comes before it is not published.
        SectionHeldError: Another run stopped while it published.
        ElspethError: As `publish_sink`.
    """
    if work.attempt.status is not AttemptStatus.COMPLETED:
        require_fed(work, sink)
        partition = work.launch.partition if are_apart(work.compiled.settings) else None
        enter_section(
            work.landscape, work.attempt, partition=partition, say=work.progress.say, pause=work.pause
        )
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


def _plugin(work: Work, name: str) -> Sink:
    plugin = work.compiled.create(name)
    assert isinstance(plugin, Sink)
    return plugin
