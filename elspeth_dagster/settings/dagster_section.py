"""The section `dagster`: how a pipeline shows and behaves in Dagster."""

import functools
import re
import zoneinfo
from dataclasses import field
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from elspeth_dagster.settings.checks import CheckSettings, FreshnessSettings
from elspeth_dagster.settings.cron import cron_problem
from elspeth_dagster.settings.errors import did_you_mean
from elspeth_dagster.settings.partitions import Cadence
from elspeth_dagster.settings.value_types import STRICT, Number, PositiveNumber, Seconds, Text, WholeNumber

MAX_SHARDS = 64

_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")
_TAG = re.compile(r"([A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}")
_TAG_VALUE = re.compile(r"[A-Za-z0-9_.-]{0,63}")


def _owner(text: str) -> str:
    if not _OWNER.fullmatch(text):
        raise PydanticCustomError("owner", "an owner is 'team:NAME' or an email address")
    return text


def _tags(tags: dict[str, str]) -> dict[str, str]:
    for key in tags:
        if not _TAG.fullmatch(key):
            raise PydanticCustomError(
                "tag",
                "the tag '{key}' is not accepted; a tag is made of up to 63 letters, digits, '_', '-' "
                "and '.', after a prefix and '/' if need be",
                {"key": key},
            )
    return tags


def _tag_value(text: str) -> str:
    if not _TAG_VALUE.fullmatch(text):
        raise PydanticCustomError(
            "tag", "a tag's value is made of up to 63 letters, digits, '_', '-' and '.'"
        )
    return text


def _cron(text: str) -> str:
    problem = cron_problem(text.strip())
    if problem is not None:
        raise PydanticCustomError("cron", "{problem}", {"problem": problem})
    return text.strip()


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise PydanticCustomError("day", "a day is written like 2026-01-31") from None


@functools.cache
def _timezones() -> frozenset[str]:
    """The names of all time zones: looking for them reads a thousand files."""
    return frozenset(zoneinfo.available_timezones())


def _timezone(text: str) -> str:
    known = _timezones()  # empty where the system has no time zone data
    if known and text not in known:
        hint = did_you_mean(text, known)
        raise PydanticCustomError(
            "timezone", "a time zone has a name such as 'Europe/Berlin'{hint}", {"hint": hint}
        )
    return text


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SensorSettings:
    """`dagster.sensor`: one run per new file.

    Attributes:
        watch: Pattern of the files' paths.
        settle_seconds: How long a file has not changed before it counts as arrived.
    """

    watch: Text
    settle_seconds: Annotated[Number, Field(ge=0)] = 5.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DagsterSettings:
    """`dagster`.

    Attributes:
        group: Asset group; None means the pipeline's name.
        owners: Owners of the assets.
        tags: Tags of the assets.
        schedule: When the pipeline runs, as a cron expression.
        timezone: Time zone of the schedule and of the partitions.
        partitions: How long a time partition is, for a pipeline whose runs each take one.
        partitions_start: The first day that there are partitions of.
        sensor: Which files make it run, each a partition.
        shards: Number of ops that share the chunks of a stage.
        progress_rows: A progress line is logged every so many rows.
        progress_seconds: Or every so many seconds, whichever is first.
        max_retries: Automatic re-executions from failure. None leaves a run that is launched by hand to the
            `run_retries` of the Dagster instance; one of a schedule or sensor is begun again, up to twice,
            when its process was lost, and not when it failed at a step, whatever the instance says.
        checks: Asset checks.
        freshness: How old the sinks' assets may get.
    """

    group: Text | None = None
    owners: tuple[Annotated[Text, AfterValidator(_owner)], ...] = ()
    tags: Annotated[dict[str, Annotated[str, AfterValidator(_tag_value)]], AfterValidator(_tags)] = field(
        default_factory=dict
    )
    schedule: Annotated[Text, AfterValidator(_cron)] | None = None
    timezone: Annotated[Text, AfterValidator(_timezone)] | None = None
    partitions: Cadence | None = None
    partitions_start: Annotated[Text, AfterValidator(_day)] = "2020-01-01"
    sensor: SensorSettings | None = None
    shards: Annotated[WholeNumber, Field(ge=1, le=MAX_SHARDS)] = 1
    progress_rows: PositiveNumber = 100_000
    progress_seconds: Seconds = 5.0
    max_retries: Annotated[WholeNumber, Field(ge=0)] | None = None
    checks: CheckSettings = field(default_factory=CheckSettings)
    freshness: FreshnessSettings | None = None

    @property
    def is_partitioned(self) -> bool:
        """Whether each run takes one partition."""
        return self.partitions is not None or self.sensor is not None
