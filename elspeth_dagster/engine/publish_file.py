"""Publishing a file anew: readers see the old file or the new one, never a piece."""

from elspeth_dagster.engine.delivery import FileDelivery, Preview, file_facts
from elspeth_dagster.engine.publishing import Publishing
from elspeth_dagster.engine.target import Draft, Target
from elspeth_dagster.landscape.commits import ArtifactFacts
from elspeth_dagster.plugins.sinks.file import FileSink, FoldRequest


def publish_file(publishing: Publishing, sink: FileSink) -> ArtifactFacts:
    """Writes beside the target, then puts it in place and commits.

    Between the rename and the commit a crash leaves the new file in place; the next try makes the same bytes.

    Raises:
        TargetError: The target cannot be written.
        TargetLockedError: Another publish of it does not finish.
        FenceLostError: A newer attempt holds the run; the target was not touched.
    """
    name, attempt = publishing.publication.name, publishing.attempt
    target = Target.at(attempt.pipeline, name, publishing.context.resolve(sink.path))
    request = FoldRequest(publishing.originals(), publishing.publication.takes_any)
    delivery = FileDelivery(publishing.landscape, sink, request, publishing.pieces)
    draft = Draft(target, publishing.landscape, attempt, publishing.key)
    preview = Preview()
    layout = delivery.layout()
    with publishing.refusals() as log, draft.held():
        with draft.writing() as file:
            rows = delivery.write(file, layout, log, preview)
        artifact = ArtifactFacts(
            name,
            str(target.path),
            sink.kind,
            rows,
            file.size_bytes,
            file.sha256,
            file_facts(sink, layout, preview),
        )
        with target.locked(publishing.landscape):
            publishing.check_fence()
            if publishing.published() is None:
                draft.put_in_place()
            return publishing.commit(log, artifact)
