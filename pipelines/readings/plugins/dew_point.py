"""Adds the dew point to a reading."""

import math
from typing import Any

from pydantic import Field

from elspeth_dagster.plugins import Options, RowError, RowTransform


class DewPointOptions(Options):
    """How the dew point is written."""

    digits: int = Field(default=2, ge=0, le=6, description="Digits behind the point.")


class DewPoint(RowTransform):
    """Dew point in °C after Magnus, from temperature and relative humidity."""

    Options = DewPointOptions

    def process(self, row: dict[str, Any]) -> dict[str, Any] | RowError:
        """Gives the row with `dew_point_celsius` behind its other fields."""
        celsius, humidity = row["celsius"], row["humidity"]
        if celsius is None or humidity is None or not 0 < humidity <= 100:
            return RowError("no_dew_point", {"celsius": celsius, "humidity": humidity})
        gamma = math.log(humidity / 100) + 17.62 * celsius / (243.12 + celsius)
        row["dew_point_celsius"] = round(243.12 * gamma / (17.62 - gamma), self.options.digits)
        return row
