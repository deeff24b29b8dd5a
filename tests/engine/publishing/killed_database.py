"""A process that is killed while it publishes into a table."""

from pathlib import Path

from databases import Target
from killed_publish import after, before, die
from publish_case import Case, request

from elspeth_dagster.engine import markers, publish_database, publishing
from elspeth_dagster.landscape.attempts import ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.plugins.sinks.database import DatabaseOptions, DatabaseSink
from elspeth_dagster.plugins.sinks.databases import connection, loading

PART_ROWS = 20


def at_call(owner, name, number, *, first):
    """Dies in a function's call of some number, before or behind its work."""
    call, calls = getattr(owner, name), []

    def counted(*arguments, **named):
        calls.append(name)
        if first and len(calls) == number:
            die()
        result = call(*arguments, **named)
        if not first and len(calls) == number:
            die()
        return result

    setattr(owner, name, counted)


def half_loaded():
    halved = loading.Loader._halved

    def half(self, start, stop):
        halved(self, start, (start + stop) // 2)
        die()

    loading.Loader._halved = half


INSTANTS = {
    "before anything": lambda: at_call(connection.Database, "insist", 2, first=True),
    "markers made": lambda: at_call(markers.Markers, "create", 1, first=False),
    "table made": lambda: at_call(publish_database, "create_table", 1, first=False),
    "table committed": lambda: at_call(connection.Database, "insist", 2, first=False),
    "part claimed": lambda: at_call(markers.Markers, "claim", 3, first=False),
    "half a part inserted": half_loaded,
    "part inserted": lambda: at_call(loading.Loader, "load", 2, first=False),
    "part about to be committed": lambda: at_call(publishing.Publishing, "check_fence", 3, first=False),
    "part committed": lambda: at_call(connection.Database, "insist", 4, first=False),
    "all parts committed": lambda: before(publishing, "commit"),
    "publish committed": lambda: after(publishing, "commit"),
    "markers gone": lambda: at_call(markers.Markers, "forget", 1, first=False),
}


def sink_of(target: Target, mode: str) -> DatabaseSink:
    return DatabaseSink(DatabaseOptions(url=target.url, table="people", if_exists=mode))


def publish_and_die(root: Path, dagster_run_id: str, target: Target, mode: str, instant: str) -> None:
    publish_database._PART_ROWS = PART_ROWS
    with Landscape.open(Location.parse(root / "landscape")) as landscape:
        case = Case(landscape, root, ensure_attempt(landscape, request(dagster_run_id)))
        INSTANTS[instant]()
        case.publish(sink_of(target, mode))
