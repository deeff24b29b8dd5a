"""Markers in a sink's own database: which parts of a publish are in its table already.

They are written in the transaction that inserts the part's rows, so that both are there or neither is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

TABLE_NAME = "elspeth_markers"
TABLE_MADE = -1
"""The ordinal under which is noted what the table was before, and that it has been made."""
# Any number will do, as long as nobody else who uses the same database takes it.
_LOCK = 0x656C7370657469

_markers = sa.Table(
    TABLE_NAME,
    sa.MetaData(),
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("sink", sa.Text, primary_key=True),
    sa.Column("part", sa.Integer, primary_key=True),
    sa.Column("facts", sa.Text, nullable=False),
)


@dataclass(frozen=True)
class Markers:
    """The markers of one sink of one run.

    Attributes:
        run_id: The run.
        sink: The sink.
    """

    run_id: str
    sink: str

    def create(self, connection: sa.Connection) -> None:
        """Makes the table of markers, unless it is there."""
        if sa.inspect(connection).has_table(TABLE_NAME):
            return
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _markers.create(connection, checkfirst=True)

    def read(self, connection: sa.Connection) -> dict[int, Any]:
        """What is noted, by part."""
        if not sa.inspect(connection).has_table(TABLE_NAME):
            return {}
        query = sa.select(_markers.c.part, _markers.c.facts).where(*self._own())
        return {row.part: orjson.loads(row.facts) for row in connection.execute(query)}

    def claim(self, connection: sa.Connection, part: int, facts: Mapping[str, Any]) -> Any:
        """Notes a part; gives `None`, or what is noted when it stands already.

        Another transaction that does the same is waited for.
        """
        dialects = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
        insert: Any = dialects[connection.dialect.name](_markers)
        values = {"run_id": self.run_id, "sink": self.sink, "part": part, "facts": _text(facts)}
        new = insert.values(**values).on_conflict_do_nothing().returning(_markers.c.part)
        if connection.execute(new).first() is not None:
            return None
        query = sa.select(_markers.c.facts).where(*self._own(), _markers.c.part == part)
        return orjson.loads(connection.execute(query).scalar_one())

    def settle(self, connection: sa.Connection, part: int, facts: Mapping[str, Any]) -> None:
        """Replaces what was noted of a part in the same transaction."""
        update = sa.update(_markers).where(*self._own(), _markers.c.part == part)
        connection.execute(update.values(facts=_text(facts)))

    def forget(self, connection: sa.Connection) -> None:
        """Removes all markers, once the publish is committed."""
        if sa.inspect(connection).has_table(TABLE_NAME):
            connection.execute(sa.delete(_markers).where(*self._own()))

    def _own(self) -> tuple[Any, Any]:
        return _markers.c.run_id == self.run_id, _markers.c.sink == self.sink


def _text(facts: Mapping[str, Any]) -> str:
    return orjson.dumps(facts, default=str).decode()
