"""Dagster's home with its own records: what goes wrong with them is an error that says so."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import DBAPIError

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.orchestration.platform import platform_root

_DAGSTER_YAML = """\
telemetry:
  enabled: false
run_launcher:
  module: elspeth_dagster.orchestration.launcher
  class: ForkingRunLauncher
run_monitoring:
  enabled: true
  poll_interval_seconds: 5
run_retries:
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false
"""

_SHOWN_CHARACTERS = 600
"""Dagster's own texts list everything that it would have accepted."""

_BEGUN = ".dagster.yaml."
"""So begin names of files that are to become the home's dagster.yaml; a process that dies may leave one."""


class DagsterSettingsError(ElspethError):
    """Dagster does not accept what is set for it in its home's dagster.yaml."""

    def __init__(self, home: str, error: Exception) -> None:
        text = str(error)
        if len(text) > _SHOWN_CHARACTERS:
            text = f"{text[:_SHOWN_CHARACTERS]} …"
        super().__init__(f"{home}/dagster.yaml: Dagster cannot start with it: {text}")


class DagsterHomeError(ElspethError):
    """Dagster's own records cannot be read or written: no space, no permission, a failing disk."""

    def __init__(self, home: str, why: str) -> None:
        super().__init__(
            f"Dagster's own records in {home} cannot be read or written: {why}. What is committed in the "
            "landscape is kept; mend it, then resume the run if it had begun (`elspeth runs` lists it)."
        )


def prepare_dagster_home() -> Path:
    """Sets `DAGSTER_HOME`, by default `.dagster/` under the root; an empty or new one gets our dagster.yaml.

    Raises:
        DagsterHomeError: It cannot be made.
    """
    named = os.environ.get("DAGSTER_HOME")
    home = Path(named).expanduser().resolve() if named else platform_root() / ".dagster"
    with _records_of(str(home)):
        home.mkdir(parents=True, exist_ok=True)
        if not [entry for entry in home.iterdir() if not entry.name.startswith(_BEGUN)]:
            _furnish(home)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def _furnish(home: Path) -> None:
    """Puts our dagster.yaml into a home, whole or not at all."""
    own = platform_root() / "dagster.yaml"
    beside = home / f"{_BEGUN}{os.getpid()}"
    try:
        beside.write_text(own.read_text() if own.is_file() else _DAGSTER_YAML)
        beside.replace(home / "dagster.yaml")
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's records, open.

    Raises:
        DagsterSettingsError: The home's dagster.yaml is not in order.
        DagsterHomeError: They cannot be read or written; what was done inside is not finished.
    """
    home = os.environ.get("DAGSTER_HOME", "DAGSTER_HOME")
    with _records_of(home), _opened(home) as instance:
        yield instance


def _opened(home: str) -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.get()
    except (DBAPIError, OSError):
        raise
    except Exception as error:
        # Whatever its launchers, storages and loggers raise that dagster.yaml names.
        raise DagsterSettingsError(home, error) from error


@contextmanager
def _records_of(home: str) -> Iterator[None]:
    try:
        yield
    except ElspethError:
        raise
    except (DBAPIError, OSError) as error:
        why = error.orig if isinstance(error, DBAPIError) else error
        raise DagsterHomeError(home, str(why)) from error
