"""Databases for sinks to write to: a SQLite file, or a database of its own on a PostgreSQL server."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

POSTGRES = "ELSPETH_TEST_POSTGRES"
SERVER = os.environ.get(POSTGRES)
"""Taken when the tests begin: a test's platform has no such variables."""
KINDS = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Target:
    """A database that a test's sink writes to.

    Attributes:
        url: As settings have it.
        kind: Of database.
    """

    url: str
    kind: str

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows that a query, or another statement, gives."""
        if self.kind == "sqlite":
            with (
                closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=60)) as connection,
                connection,
            ):
                return connection.execute(sql).fetchall()
        engine = create_engine(make_url(self.url).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            result = connection.execute(text(sql))
            rows = [tuple(row) for row in result] if result.returns_rows else []
        engine.dispose()
        return rows

    def tables(self) -> set[str]:
        """The names of all tables."""
        if self.kind == "sqlite":
            return {name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return {name for (name,) in self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


@contextmanager
def new_target(kind: str, folder: Path, server: str | None = SERVER) -> Iterator[Target]:
    """An empty database, gone in the end; on PostgreSQL on the tests' server, or another one."""
    if kind == "sqlite":
        yield Target(f"sqlite:///{folder / 'data.db'}", kind)
        return
    if server is None:
        pytest.skip(f"{POSTGRES} names no server")
    name = f"sink_{uuid4().hex[:12]}"
    administration = create_engine(
        make_url(server).set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
    )
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(server).set(database=name).render_as_string(hide_password=False)
    try:
        yield Target(url, kind)
    finally:
        with administration.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        administration.dispose()
