"""Publishing: makes a sink's output durable from its committed parts."""

from elspeth_dagster.engine.lifecycle import opened
from elspeth_dagster.engine.publish_append import append_to_file
from elspeth_dagster.engine.publish_database import forget_markers, publish_to_database
from elspeth_dagster.engine.publish_errors import ExistingTargetError, UnknownSinkError
from elspeth_dagster.engine.publish_file import publish_file
from elspeth_dagster.engine.publish_rows import hand_over_rows
from elspeth_dagster.engine.publishing import Publication, Publishing
from elspeth_dagster.engine.refusals import Failure
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import ArtifactFacts
from elspeth_dagster.landscape.model import Attempt, AttemptStatus
from elspeth_dagster.plugins.base import PluginContext, RowSink
from elspeth_dagster.plugins.sinks.database import DatabaseSink
from elspeth_dagster.plugins.sinks.errors import ExistingFileError
from elspeth_dagster.plugins.sinks.file import FileMode, FileSink

__all__ = ["Failure", "Publication", "publish_sink"]


def publish_sink(
    landscape: Landscape, attempt: Attempt, publication: Publication, context: PluginContext
) -> ArtifactFacts:
    """Publishes a sink, unless that is done already; in any case gives its artifact.

    The caller has made sure that everything that feeds the sink is complete. Rows that do not fit are routed,
    never a reason to stop.

    Raises:
        PublishError: The sink's surroundings fail; resuming goes on when they are mended.
        SinkFailureError: The plugin raised.
        DamagedRecordError: A part is not what was committed.
        FenceLostError: A newer attempt holds the run.
    """
    publishing = Publishing(landscape, attempt, publication, context)
    sink, name = publication.sink, publication.name
    done = publishing.published()
    if done is not None:
        if isinstance(sink, DatabaseSink) and attempt.status is not AttemptStatus.COMPLETED:
            forget_markers(publishing, sink)
        return done
    with opened({name: sink}, {name: context}):
        if isinstance(sink, RowSink):
            return hand_over_rows(publishing, sink)
        if isinstance(sink, DatabaseSink):
            return publish_to_database(publishing, sink)
        if not isinstance(sink, FileSink):
            raise UnknownSinkError(attempt.pipeline, name, type(sink).__name__)
        if sink.mode is FileMode.WRITE:
            return publish_file(publishing, sink)
        try:
            return append_to_file(publishing, sink)
        except ExistingFileError as error:
            raise ExistingTargetError(attempt.pipeline, name, error) from error
