"""Connections to a database: short transactions that are tried again while the database is away."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from elspeth_dagster.plugins.sinks.databases.faults import ConnectionLostError, meaning
from elspeth_dagster.plugins.sinks.databases.url import DatabaseUrl, Resolve

WAIT_FOR_LOCKS_S = 30
_WAITS_S = (0.0, 0.2, 1.0, 3.0, 8.0, 15.0)
_READ_ONLY = "elspeth_read_only"

Result = TypeVar("Result")


class Database:
    """A database that a sink writes to."""

    def __init__(
        self, url: DatabaseUrl, resolve: Resolve, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.file = url.file(resolve)
        self._engine = _engine(url, resolve)
        self._pause = pause
        self._errors: tuple[type[Exception], ...] = (DBAPIError, _driver_error(is_sqlite=url.is_sqlite))

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Connection]:
        """A transaction; on SQLite one that writes holds the lock from its first moment.

        Raises:
            RowsRefusedError: Rows do not fit.
            ConnectionLostError: The database cannot be reached. Nobody knows what became of the transaction.
            SurroundingsError: Something else of the database is not as it has to be.
        """
        try:
            options = {_READ_ONLY: read_only}
            with self._engine.connect() as connection, connection.execution_options(**options).begin():
                yield connection
        except self._errors as error:
            raise meaning(error) from error

    def insist(self, work: Callable[[Connection], Result], *, read_only: bool = False) -> Result:
        """Does work in a transaction, again when the connection is lost.

        The work must find out by itself whether an earlier try of it was committed.

        Raises:
            ConnectionLostError: The database stays away.
            SurroundingsError: As `transaction`.
        """
        lost: ConnectionLostError | None = None
        for wait in _WAITS_S:
            if wait:
                self._pause(wait)
            try:
                with self.transaction(read_only=read_only) as connection:
                    return work(connection)
            except ConnectionLostError as error:
                lost = error
        assert lost is not None
        raise lost


def _driver_error(*, is_sqlite: bool) -> type[Exception]:
    if is_sqlite:
        return sqlite3.Error
    import psycopg  # noqa: PLC0415 - only with the extra 'postgres'

    return psycopg.Error


def _engine(url: DatabaseUrl, resolve: Resolve) -> Engine:
    where = url.connectable(resolve)
    if url.is_sqlite:
        engine = create_engine(where, poolclass=NullPool)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    settings = (
        f"{where.query.get('options', '')} -c lock_timeout={WAIT_FOR_LOCKS_S}s -c synchronous_commit=on "
        f"-c idle_in_transaction_session_timeout={2 * WAIT_FOR_LOCKS_S}s"
    ).strip()
    arguments = {"options": settings, "client_encoding": "utf8"}
    if "connect_timeout" not in where.query:
        arguments["connect_timeout"] = "10"
    return create_engine(where, poolclass=NullPool, connect_args=arguments)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own control begins deferred, which loses to a concurrent writer without waiting.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {WAIT_FOR_LOCKS_S * 1000}")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
