"""The catalogue's tables. `migrations/` makes them; a test holds the two equal.

The record's tables are append-only, but for the status columns of `runs` and `attempts`. Tables named `ops_…`
serve the work itself and are no part of the record.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

REVISIONS = ("0001", "0002")
"""Schema versions, oldest first; the last is the one that this code reads and writes."""


class UtcTime(TypeDecorator[datetime]):
    """An instant, stored as ISO 8601 text in UTC with microseconds, so that text order is time order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - interface
        """Gives the stored text of an aware datetime."""
        return (
            None
            if value is None
            else value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        )

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - interface
        """Gives the aware datetime of a stored text."""
        return None if value is None else datetime.fromisoformat(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives out row ids only to a column that is INTEGER PRIMARY KEY to the letter.
_ID = BigInteger().with_variant(Integer(), "sqlite")
_JSON = JSON(none_as_null=True)


def _run() -> Column[Any]:
    return Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False)


def _commit() -> Column[Any]:
    return Column("commit_id", _ID, ForeignKey("commits.commit_id"), nullable=False, index=True)


runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("record_format", Text, nullable=False),
    Column("settings", _JSON, nullable=False),
    Column("settings_digest", Text, nullable=False),
    Column("launch", _JSON, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("completed_at", UtcTime),
    Column("counts", _JSON),
    Index(None, "pipeline", "created_at"),
    Index(None, "created_at"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("dagster_run_id", Text, nullable=False),
    Column("parent_dagster_run_id", Text),
    Column("status", Text, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("engine_version", Text, nullable=False),
    Column("code", _JSON, nullable=False),
    Column("error", _JSON),
    UniqueConstraint("dagster_run_id", "pipeline"),
)

phases = Table(
    "phases",
    metadata,
    Column("phase_id", _ID, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("phase", Integer, nullable=False),
    Column("node", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("logged_at", UtcTime, nullable=False),
    Column("detail", _JSON),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempts.run_id", "attempts.number"]),
    Index(None, "run_id", "attempt"),
)

commits = Table(
    "commits",
    metadata,
    Column("commit_id", _ID, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("phase", Integer, nullable=False),
    Column("node", Text, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("content_digest", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("extra", _JSON, nullable=False),
    Column("engine_version", Text, nullable=False),
    Column("code_digest", Text, nullable=False),
    Column("committed_at", UtcTime, nullable=False),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempts.run_id", "attempts.number"]),
    UniqueConstraint("run_id", "phase", "node", "ordinal"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("name", Text, primary_key=True),
    _commit(),
    Column("kind", Text, nullable=False),
    Column("plugin", Text),
    Column("position", Integer, nullable=False),
    Column("stage", Integer, nullable=True),
    Column("options", _JSON, nullable=False),
    Column("schema", _JSON, nullable=False),
    Column("code_hash", Text),
)

edges = Table(
    "edges",
    metadata,
    Column("edge_id", _ID, primary_key=True),
    _run(),
    _commit(),
    Column("source", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Index(None, "run_id"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("stage", Integer, primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    _commit(),
    Column("first_record", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("input_bytes", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("cursor", _JSON, nullable=False),
)

segments = Table(
    "segments",
    metadata,
    Column("commit_id", _ID, ForeignKey("commits.commit_id"), primary_key=True),
    Column("table_name", Text, primary_key=True),
    _run(),
    Column("path", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    UniqueConstraint("path"),
    Index(None, "run_id", "table_name"),
)

parts = Table(
    "parts",
    metadata,
    Column("commit_id", _ID, ForeignKey("commits.commit_id"), primary_key=True),
    Column("sink", Text, primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    _run(),
    Column("path", Text, nullable=False),
    Column("rendered_path", Text),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("rendered_sha256", Text),
    Column("content_sha256", Text, nullable=False),
    Column("info", _JSON, nullable=False),
    UniqueConstraint("path"),
    Index(None, "run_id", "sink"),
)

tallies = Table(
    "tallies",
    metadata,
    Column("commit_id", _ID, ForeignKey("commits.commit_id"), primary_key=True),
    Column("node", Text, primary_key=True),
    Column("measure", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    _run(),
    Column("count", BigInteger, nullable=False),
    Index(None, "run_id"),
)

markers = Table(
    "markers",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("name", Text, primary_key=True),
    _commit(),
    Column("facts", _JSON, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("sink", Text, primary_key=True),
    _commit(),
    Column("uri", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("facts", _JSON, nullable=False),
)

ops_processes = Table(
    "ops_processes",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("host", Text, primary_key=True),
    Column("pid", Integer, primary_key=True),
    Column("process_started", Text, primary_key=True),
    Column("boot_id", Text, nullable=False),
    Column("registered_at", UtcTime, nullable=False),
)

ops_heartbeats = Table(
    "ops_heartbeats",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("host", Text, primary_key=True),
    Column("pid", Integer, primary_key=True),
    Column("beat_at", UtcTime, nullable=False),
)

ops_locks = Table(
    "ops_locks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("taken_at", UtcTime, nullable=False),
)

ops_waiting = Table(
    "ops_waiting",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("until", UtcTime, nullable=False),
)
