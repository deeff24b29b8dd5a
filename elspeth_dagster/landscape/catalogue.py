"""Opening a landscape: its database, its schema version, its transactions."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from elspeth_dagster.connecting import keeps_out
from elspeth_dagster.landscape import engines, storage
from elspeth_dagster.landscape.errors import (
    CatalogueLostError,
    LandscapeMissingError,
    NewerLandscapeError,
    NoPlaceError,
    StorageError,
    UnreadableLandscapeError,
)
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.mounts import require_reliable_locks
from elspeth_dagster.landscape.patience import FILE_LIMIT_S, SERVER_LIMIT_S, Patience, Say, Waiting, to_log
from elspeth_dagster.landscape.schema import REVISIONS

# Any number will do, as long as nobody else who uses the same database takes it.
_MIGRATION_LOCK = 0x656C7370657468

Result = TypeVar("Result")


class Landscape:
    """The record of runs: a catalogue in a database, and a folder of segments.

    Opening is cheap, so an op opens one for itself. Safe to use from several threads.
    """

    def __init__(self, location: Location, engine: Engine, say: Say = to_log) -> None:
        self.location = location
        self.engine = engine
        self.patience = Patience(FILE_LIMIT_S if self.is_sqlite else SERVER_LIMIT_S, say)
        # SQLite has one writer; waiting for it here is fair and cheaper than its busy handler.
        self._writer = threading.RLock()
        self._closed = False

    @classmethod
    def open(cls, location: Location, *, create: bool = True, say: Say = to_log) -> Self:
        """Opens a landscape, bringing its catalogue to this version's schema first.

        Args:
            location: Where it is.
            create: Whether to make one where there is none: to work in it, not just to look.
            say: Takes a line for people while the database is away and is waited for.

        Raises:
            LandscapeMissingError: There is none, and none was to be made.
            NoPlaceError: Its folder cannot be made.
            UnsafeFileSystemError: It would be a file where locks cannot be relied on.
            NewerLandscapeError: It was written by a later version of this package.
            UnreadableLandscapeError: There is something else in its place.
            CatalogueLostError: The database cannot be reached.
        """
        if location.database is not None:
            _prepare_place(location.database, location.display, create=create)
        landscape = cls(location, engines.borrow(location), say)
        try:
            landscape._check_version(create=create)
            if create:
                storage.make_folder(location.segments)
        except BaseException:
            landscape.close()
            raise
        return landscape

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections, unless somebody else in this process has the landscape open."""
        if not self._closed:
            self._closed = True
            engines.give_back(self.engine)

    @property
    def is_sqlite(self) -> bool:
        """Whether the catalogue is a SQLite file."""
        return self.engine.dialect.name == "sqlite"

    def insist(self, work: Callable[[Connection], Result], *, read_only: bool = False) -> Result:
        """Does work in a transaction, and again when the database was away.

        The work must find out by itself whether an earlier try of it was committed: when the connection is
        lost at the commit, nobody knows.

        Raises:
            CatalogueLostError: The database stays away.
        """
        waiting = Waiting(self.patience)
        while True:
            try:
                with self.read() if read_only else self.transaction() as connection:
                    result = work(connection)
            except CatalogueLostError as error:
                waiting.after(error)
            else:
                waiting.over()
                return result

    def ask(self, work: Callable[[Connection], Result]) -> Result:
        """Does work that only reads, as `insist` does."""
        return self.insist(work, read_only=True)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that writes. On SQLite it holds the write lock from its first moment."""
        if self.is_sqlite:
            with self._writer, self._begin(read_only=False) as connection:
                yield connection
        else:
            with self._begin(read_only=False) as connection:
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the catalogue and cannot write."""
        with self._begin(read_only=True) as connection:
            yield connection

    @contextmanager
    def _begin(self, *, read_only: bool) -> Iterator[Connection]:
        options = {engines.READ_ONLY: read_only}
        try:
            with self.engine.connect() as connection, connection.execution_options(**options).begin():
                yield connection
        except DBAPIError as error:
            where, why = self.location.display, " ".join(str(error.orig).split())
            if not self.is_sqlite and getattr(error.orig, "sqlstate", None) is None and keeps_out(why):
                raise UnreadableLandscapeError(where, why) from error
            if error.connection_invalidated or isinstance(error, OperationalError):
                raise CatalogueLostError(where, "reading" if read_only else "writing", why) from error
            if type(error) is DatabaseError:
                raise UnreadableLandscapeError(where, why) from error
            raise

    def _check_version(self, *, create: bool) -> None:
        found = self.ask(_version)
        if found == REVISIONS[-1]:
            return
        if found is not None and found not in REVISIONS:
            raise NewerLandscapeError(self.location.display, found, REVISIONS[-1])
        if found is None and not create:
            raise LandscapeMissingError(self.location.display)
        self._migrate()

    def _migrate(self) -> None:
        # Loading Alembic takes longer than everything else here, and only a new or old catalogue needs it.
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        folder = Path(__file__).with_name("migrations")
        config.set_main_option("script_location", str(folder).replace("%", "%%"))

        def upgrade(connection: Connection) -> None:
            # One at a time, whoever else opens the same catalogue; on SQLite the write lock sees to that.
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, REVISIONS[-1])

        self.insist(upgrade)


def _prepare_place(database: Path, display: str, *, create: bool) -> None:
    if create:
        require_reliable_locks(database)
        try:
            storage.make_folder(database.parent)
        except StorageError as error:
            raise NoPlaceError(error.path, error.doing, error) from error
    elif not database.exists():
        raise LandscapeMissingError(display)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
