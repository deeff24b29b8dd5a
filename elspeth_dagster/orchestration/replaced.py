"""A file that was replaced while its run was queued: that run does not read what it was not asked for."""

import dagster as dg

from elspeth_dagster.engine.load import END_OF_SOURCE
from elspeth_dagster.engine.work import Work
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.orchestration import contents, partitions
from elspeth_dagster.orchestration.names import CONTENT_TAG


class ReplacedError(ElspethError):
    """The file has other content than the run was asked for."""

    def __init__(self, pipeline: str, run_id: str, path: str) -> None:
        self.pipeline = pipeline
        super().__init__(
            f"pipeline {pipeline!r}, run {run_id}: {path} has changed since this run was asked for, and "
            "nothing was read. Its present content has a run of its own, which the sensor asks for. "
            f"Put the older content back and resume this run, or give it up: elspeth abandon {run_id}"
        )


def require_content(context: dg.OpExecutionContext, work: Work, *, restart: bool) -> None:
    """Refuses to read a file's newer content for a run that the sensor asked for because of an older one.

    A run that has read something goes on with that, and one that was told to reads another file; what is
    wrong with a file that is gone, the source says.

    Args:
        context: The op's.
        work: The run.
        restart: Whether what was read so far is to be dropped.

    Raises:
        ReplacedError: The file has other content.
    """
    asked, key, path = context.run.tags.get(CONTENT_TAG), work.launch.partition, work.launch.source_path
    if asked is None or key is None or path is None or _has_read(work, restart=restart):
        return
    if path != partitions.path_of(work.compiled, key):
        return
    file = work.resolve(path)
    try:
        is_same = contents.is_still(file, file.stat(), asked)
    except OSError:
        return
    if not is_same:
        raise ReplacedError(work.pipeline, work.run_id, path)


def _has_read(work: Work, *, restart: bool) -> bool:
    if reads.marker(work.landscape, work.run_id, END_OF_SOURCE) is not None:
        return True
    return not restart and reads.last_chunk(work.landscape, work.run_id, 0) is not None
