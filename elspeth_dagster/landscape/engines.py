"""Connections to catalogues, shared by all in this process who have the same one open."""

import threading
from collections import Counter
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from elspeth_dagster.landscape.location import Location

BUSY_TIMEOUT_S = 30
READ_ONLY = "elspeth_read_only"
"""Of a connection's execution options: that its transaction cannot write."""
# A server whose machine is gone says nothing; this is how long until the connection to it counts as lost.
_CONNECTING = {
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "4",
}

_lock = threading.Lock()
_users: Counter[Engine] = Counter()


def borrow(location: Location) -> Engine:
    """The engine for a catalogue; who takes it gives it back.

    It is kept for the next one, without connections: what it has compiled is worth more than they are, and
    each op of a run asks the same.
    """
    with _lock:
        engine = _engine(location)
        _users[engine] += 1
    return engine


def give_back(engine: Engine) -> None:
    """Closes an engine's connections when nobody uses it any more."""
    with _lock:
        _users[engine] -= 1
        if not _users[engine]:
            del _users[engine]
            engine.dispose()


@lru_cache(maxsize=8)
def _engine(location: Location) -> Engine:
    database = location.database
    if database is None:
        return _postgresql_engine(make_url(location.url))
    engine = create_engine(URL.create("sqlite", database=str(database)), max_overflow=-1)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own control begins deferred, which loses to a concurrent writer without waiting.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql(f"PRAGMA query_only = {int(read_only)}")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _postgresql_engine(url: URL) -> Engine:
    options = (
        f"{url.query.get('options', '')} -c lock_timeout={BUSY_TIMEOUT_S}s "
        f"-c idle_in_transaction_session_timeout={BUSY_TIMEOUT_S}s -c synchronous_commit=on"
    ).strip()
    ours = {name: value for name, value in _CONNECTING.items() if name not in url.query}
    engine = create_engine(url, max_overflow=-1, pool_pre_ping=True, connect_args=ours | {"options": options})
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get(READ_ONLY, False):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
