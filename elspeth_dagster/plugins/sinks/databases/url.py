"""Where a database is, and how that is shown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from elspeth_dagster.errors import ElspethError

_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_SECRET_PARAMETERS = ("password", "sslpassword", "passfile")
_PORT = 5432
_SHORTEST_SCRUBBED = 3

Resolve = Callable[[str], Path]


class DatabaseUrlError(ElspethError):
    """A URL that no database can be reached by; the URL itself is not shown, since it may hold a password."""


@dataclass(frozen=True)
class DatabaseUrl:
    """The URL of a SQLite file or a PostgreSQL database.

    Attributes:
        url: As it was written. It may hold a password, so it is not shown; see `shown`.
    """

    url: URL = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a SQLAlchemy URL.

        Raises:
            DatabaseUrlError: It is none, names a database that is not supported or one whose driver is not
                installed, or no file.
        """
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise DatabaseUrlError(
                "this is no SQLAlchemy URL; accepted: sqlite:///PATH, postgresql://USER:PASSWORD@HOST/DATABASE"
            ) from None
        driver = _DRIVERS.get(url.drivername)
        if driver is None:
            raise DatabaseUrlError(f"'{url.drivername}' is not supported; accepted: {', '.join(_DRIVERS)}")
        if driver == "sqlite" and (url.database or ":memory:").startswith((":memory:", "file:")):
            raise DatabaseUrlError("SQLite needs the path of a file: sqlite:///PATH")
        if driver != "sqlite" and find_spec("psycopg") is None:
            raise DatabaseUrlError(
                "PostgreSQL needs the extra 'postgres': pip install 'elspeth-dagster[postgres]'"
            )
        return cls(url.set(drivername=driver))

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a SQLite file, and no server."""
        return self.url.drivername == "sqlite"

    def file(self, resolve: Resolve) -> Path | None:
        """The SQLite file, `None` for a server."""
        return resolve(str(self.url.database)) if self.is_sqlite else None

    def connectable(self, resolve: Resolve) -> URL:
        """The URL to connect to, its path absolute; with the password."""
        return self.url.set(database=str(self.file(resolve))) if self.is_sqlite else self.url

    def shown(self, resolve: Resolve) -> str:
        """The URL without its password."""
        url = self.connectable(resolve).set(drivername=self.url.get_backend_name())
        # Setting a password of None keeps the old one.
        url = url._replace(password=None).difference_update_query(_SECRET_PARAMETERS)
        return url.render_as_string(hide_password=False)

    def place(self, resolve: Resolve) -> str:
        """What is the same for every URL of the same database, as far as a URL tells."""
        if self.is_sqlite:
            return f"sqlite:{self.file(resolve)}"
        host = self.url.host or self.url.query.get("host", "localhost")
        port = self.url.port or self.url.query.get("port", _PORT)
        database = self.url.database or self.url.query.get("dbname", self.url.username)
        return f"postgresql:{host}:{port}/{database}"

    def scrubbed(self, text: str) -> str:
        """A text without the password."""
        secrets = [self.url.password, *(self.url.query.get(name) for name in _SECRET_PARAMETERS)]
        for secret in secrets:
            if isinstance(secret, str) and len(secret) >= _SHORTEST_SCRUBBED:
                text = text.replace(secret, "***")
        return text
