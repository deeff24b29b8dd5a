"""Live progress of a run on a terminal, from what is committed."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.status import Status

from elspeth_dagster.accounting import SOURCE_NODE, Measure
from elspeth_dagster.engine.load import END_OF_SOURCE
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.location import Location

_EVERY_S = 0.5
_SHARE = 20
"""Looking takes at most one part in so many of the time, however long the record has become."""


@contextmanager
def live_progress(location: Location, pipeline: str) -> Iterator[str]:
    """Shows a line that follows the pipeline's newest run until the block ends.

    Yields:
        The log level that the console should have meanwhile.
    """
    stop = threading.Event()
    began = datetime.now(UTC)
    with Status(f"{pipeline}: starting", console=Console(stderr=True)) as status:
        follower = threading.Thread(
            target=_follow, args=(location, pipeline, began, status, stop), daemon=True
        )
        follower.start()
        try:
            yield "WARNING"
        finally:
            stop.set()
            follower.join(timeout=5)


def _follow(
    location: Location, pipeline: str, began: datetime, status: Status, stop: threading.Event
) -> None:
    def told(line: str) -> None:
        status.update(f"{pipeline}: {line}")

    took_s = 0.0
    while not stop.wait(max(_EVERY_S, _SHARE * took_s)):
        looked_at = time.monotonic()
        try:
            with Landscape.open(location, create=False, say=told) as landscape:
                line = _line(landscape, pipeline, began)
        except ElspethError as error:
            line = f"{pipeline}: {error}"
        took_s = time.monotonic() - looked_at
        status.update(line)


def _line(landscape: Landscape, pipeline: str, began: datetime) -> str:
    """Where the newest attempt is: what is read, what is processed, what is published."""
    runs = reads.runs(landscape, limit=1, pipeline=pipeline)
    if not runs or reads.attempts(landscape, runs[0].run_id)[-1].started_at < began:
        return f"{pipeline}: starting"
    run_id = runs[0].run_id
    last = reads.last_chunk(landscape, run_id, 0)
    read = last.first_record + last.records if last else 0
    if reads.marker(landscape, run_id, END_OF_SOURCE) is None:
        return f"{pipeline}: reading, {read:,} rows so far"
    tallies = reads.tallies(landscape, run_id)
    done = sum(t.count for t in tallies if t.node == SOURCE_NODE and t.measure is Measure.CREATED)
    published = len(reads.artifacts(landscape, run_id))
    if published or done == read:
        return f"{pipeline}: publishing, {published} sinks done"
    return f"{pipeline}: processing, {done:,} of {read:,} rows"
