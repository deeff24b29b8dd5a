"""The keys `dagster.checks` and `dagster.freshness`: how bad and how old a pipeline's output may be."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from elspeth_dagster.settings.value_types import STRICT, Number, WholeNumber

_DURATION = re.compile(r"\s*(?P<number>\d+(\.\d+)?)\s*(?P<unit>[smhd])\s*")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SHORTEST = timedelta(minutes=1)
_LONGEST = timedelta(days=3650)


class Severity(StrEnum):
    """How bad it is that a check fails."""

    ERROR = "error"
    WARN = "warn"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Limit:
    """What is agreed for one figure of a run.

    Attributes:
        severity: How bad it is when the limit is not kept.
        blocking: Whether nothing is published then; None means that it is so unless it is a mere warning.
    """

    severity: Severity = Severity.ERROR
    blocking: bool | None = None

    @model_validator(mode="after")
    def _warning_lets_pass(self) -> "Limit":
        if self.blocking and self.severity is Severity.WARN:
            raise PydanticCustomError(
                "check", "a check of severity 'warn' lets everything pass; leave out 'blocking: true'"
            )
        return self

    @property
    def blocks(self) -> bool:
        """Whether nothing is published when the limit is not kept."""
        return self.severity is Severity.ERROR if self.blocking is None else self.blocking


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FractionLimit(Limit):
    """A limit from 0 to 1."""

    limit: Annotated[Number, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CountLimit(Limit):
    """A limit that is a number of rows."""

    limit: Annotated[WholeNumber, Field(ge=0)]


def _short_form(value: Any) -> Any:
    """A limit alone stands for a check with the default severity."""
    return value if isinstance(value, (Mapping, Limit)) else {"limit": value}


_Fraction = Annotated[FractionLimit, BeforeValidator(_short_form)]
_Count = Annotated[CountLimit, BeforeValidator(_short_form)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CheckSettings:
    """`dagster.checks`: asset checks beside the balance, which is always checked.

    Attributes:
        max_quarantined_fraction: Rows set aside, as a fraction of the records read.
        max_failed: Rows neither delivered nor set aside.
        min_rows: Records read.
    """

    max_quarantined_fraction: _Fraction | None = None
    max_failed: _Count | None = None
    min_rows: _Count | None = None

    def limits(self) -> Iterator[tuple[str, FractionLimit | CountLimit]]:
        """The checks that are asked for, by name."""
        for name in (field.name for field in dataclasses.fields(self)):
            limit = getattr(self, name)
            if limit is not None:
                yield name, limit


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    found = timedelta(**{_UNITS[match["unit"]]: float(match["number"])}) if match else None
    if found is None or not _SHORTEST <= found <= _LONGEST:
        raise PydanticCustomError(
            "duration", "a duration is a number with a unit, such as 90m, 26h or 3d, and at least a minute"
        )
    return found


_Duration = Annotated[timedelta, BeforeValidator(_duration)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FreshnessSettings:
    """`dagster.freshness`: how old what the sinks published may get.

    Attributes:
        fail_after: From this age on it is too old.
        warn_after: From this age on there is a warning.
    """

    fail_after: _Duration
    warn_after: _Duration | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "FreshnessSettings":
        if self.warn_after is not None and self.warn_after >= self.fail_after:
            raise PydanticCustomError("freshness", "'warn_after' has to be shorter than 'fail_after'")
        return self
