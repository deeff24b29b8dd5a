"""Dagster's own records: what goes wrong with them is an error that says so."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from sqlalchemy.exc import DBAPIError

from elspeth_dagster.errors import ElspethError


class DagsterHomeError(ElspethError):
    """Dagster's own records cannot be read or written: no space, no permission, a failing disk."""

    def __init__(self, home: str, why: str) -> None:
        super().__init__(
            f"Dagster's own records in {home} cannot be read or written: {why}. What is committed in the "
            "landscape is kept; mend it, then resume the run if it had begun (`elspeth runs` lists it)."
        )


@contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's records, open.

    Raises:
        DagsterHomeError: They cannot be read or written; what was done inside is not finished.
    """
    try:
        with dg.DagsterInstance.get() as instance:
            yield instance
    except ElspethError:
        raise
    except (DBAPIError, OSError) as error:
        why = error.orig if isinstance(error, DBAPIError) else error
        raise DagsterHomeError(os.environ.get("DAGSTER_HOME", "DAGSTER_HOME"), str(why)) from error
