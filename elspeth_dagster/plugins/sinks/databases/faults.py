"""What a database's errors mean: rows at fault, a lost connection, or surroundings that are not as needed."""

from typing import Any

from sqlalchemy.exc import DBAPIError

from elspeth_dagster.connecting import keeps_out
from elspeth_dagster.errors import ElspethError

_ROWS = ("22", "23", "44", "54000", "P0001")
"""SQLSTATE: data, constraints, check options, values too large for an index, triggers."""
_LOST = ("08", "57P01", "57P02", "57P03", "25P03")
_MAY_PASS = ("40", "53", "55P03", "57014", "58")
_SQLITE_ROWS = ("SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_TOOBIG")
_SQLITE_MAY_PASS = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR")


class RowsRefusedError(ElspethError):
    """The database does not take some of the rows that it was given.

    Attributes:
        detail: What it says.
    """

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)


class ConnectionLostError(ElspethError):
    """The database cannot be reached; a transaction that was being committed may have been, or not."""

    retryable = True


class SurroundingsError(ElspethError):
    """Something about the database is not as it has to be; no row is to blame."""

    def __init__(self, detail: str, *, retryable: bool) -> None:
        self.retryable = retryable
        super().__init__(detail)


def meaning(error: BaseException) -> ElspethError:
    """What an error of a database driver, bare or wrapped by SQLAlchemy, means."""
    original: Any = error.orig if isinstance(error, DBAPIError) else error
    sqlite_name: str | None = getattr(original, "sqlite_errorname", None)
    if type(original).__module__.startswith("psycopg"):
        return _postgresql(original)
    text = str(original)
    if sqlite_name is not None:
        if sqlite_name.startswith(_SQLITE_ROWS):
            return RowsRefusedError(text)
        return SurroundingsError(text, retryable=sqlite_name.startswith(_SQLITE_MAY_PASS))
    if type(original).__name__ in {"DataError", "OverflowError"}:
        return RowsRefusedError(text)
    return SurroundingsError(text, retryable=False)


def _postgresql(error: Any) -> ElspethError:
    state: str | None = error.sqlstate
    text = (error.diag.message_primary or str(error)).strip()
    if state is None:
        if type(error).__name__ == "DataError":
            return RowsRefusedError(text)
        if type(error).__name__ == "OperationalError" and not keeps_out(text):
            return ConnectionLostError(text)
        return SurroundingsError(text, retryable=False)
    if state.startswith(_ROWS):
        return RowsRefusedError(_with_constraint(text, error))
    if state.startswith(_LOST):
        return ConnectionLostError(text)
    return SurroundingsError(f"{text} (SQLSTATE {state})", retryable=state.startswith(_MAY_PASS))


def _with_constraint(text: str, error: Any) -> str:
    column = error.diag.column_name
    return text if not column or f'"{column}"' in text else f'{text}, column "{column}"'
