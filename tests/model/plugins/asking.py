"""A transform that waits on something outside, in no time: how long that took, the row says itself."""

from typing import Any

from model.clock import took

from elspeth_dagster.plugins import Options, RowError, RowTransform


class AskingOptions(Options):
    """Where the row says how long its call takes (µs); with a negative number it comes to nothing."""

    field: str


class Asking(RowTransform):
    """Gives the row back, or an error."""

    Options = AskingOptions
    options: AskingOptions
    waits = True

    def process(self, row: dict[str, Any]) -> dict[str, Any] | RowError:
        """Takes as long as the row says."""
        said = row.get(self.options.field)
        if not isinstance(said, int) or isinstance(said, bool):
            return row
        took.us = abs(said)
        return RowError("no_answer") if said < 0 else row
