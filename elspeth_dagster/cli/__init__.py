"""The `elspeth` command."""

from elspeth_dagster.cli.commands import main

__all__ = ["main"]
