"""The file of environment variables that commands read first, as `dagster dev` does."""

from pathlib import Path

import click
from dotenv import load_dotenv

from elspeth_dagster.orchestration.platform import platform_root

_FILE = ".env"


def load_environment(named: Path | None) -> None:
    """Sets the variables of a file, by default of `.env` under the platform root; those that are set stay.

    Raises:
        click.UsageError: The file cannot be read.
    """
    path = platform_root() / _FILE if named is None else named
    try:
        load_dotenv(path, override=False)
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error
