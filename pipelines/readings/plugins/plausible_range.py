"""Rejects rows whose value lies outside a plausible range."""

import pandas as pd
from pydantic import Field

from elspeth_dagster.plugins import FrameResult, FrameTransform, Options


class PlausibleRangeOptions(Options):
    """Which column, and what is plausible."""

    column: str = Field(description="A column of numbers.")
    lowest: float = Field(description="The lowest plausible value.")
    highest: float = Field(description="The highest plausible value.")


class PlausibleRange(FrameTransform):
    """Keeps rows whose value lies between two bounds, the bounds included."""

    Options = PlausibleRangeOptions

    def process(self, frame: pd.DataFrame) -> FrameResult:
        """Gives the frame back, with the rows outside the range rejected."""
        values = frame[self.options.column]
        outside = ~values.between(self.options.lowest, self.options.highest).fillna(value=False)
        reasons = "implausible " + self.options.column + ": " + values.astype("str")
        return FrameResult(frame, rejected=outside, reasons=reasons)
