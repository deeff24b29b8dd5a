"""The shapes in which nodes stand in a settings file: section 1.3 of the format."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from elspeth_dagster.settings.names import DISCARD, InvalidNameError, connection_name
from elspeth_dagster.settings.nodes import CoalescePolicy, MergeStrategy, OutputMode
from elspeth_dagster.settings.value_types import (
    STRICT,
    Connection,
    NodeName,
    PositiveNumber,
    RouteDestination,
    Seconds,
    Text,
    TrimmedText,
    WholeNumber,
)


def _as_mapping(value: Any) -> Any:
    """Turn the list form of `branches` into the mapping form, in which a direct branch leads to itself."""
    if not isinstance(value, list):
        return value
    repeated = sorted({str(item) for item in value if value.count(item) > 1})
    if repeated:
        raise InvalidNameError(f"'{repeated[0]}' is listed more than once")
    if not all(isinstance(item, str) for item in value):
        raise InvalidNameError("a branch is the name of a connection; put it in quotes")
    return {item: item for item in value}


def _branches(value: dict[str, str]) -> dict[str, str]:
    branches = {connection_name(name): connection_name(source) for name, source in value.items()}
    if len(branches) < len(value):
        raise InvalidNameError("two branches have the same name")
    return branches


Branches = Annotated[
    dict[str, str], Field(min_length=2), BeforeValidator(_as_mapping), AfterValidator(_branches)
]


class Entry(BaseModel):
    """Base of the entries: unknown keys are errors."""

    model_config = ConfigDict(**STRICT, frozen=True)


class SourceEntry(Entry):
    """`source`."""

    plugin: Text
    on_success: Connection
    options: dict[str, Any] = {}


class TransformEntry(Entry):
    """An entry of `transforms`."""

    name: NodeName
    plugin: Text
    input: Connection
    on_success: Connection
    on_error: TrimmedText
    options: dict[str, Any] = {}


class GateEntry(Entry):
    """An entry of `gates`."""

    name: NodeName
    input: Connection
    condition: Text
    routes: Annotated[dict[str, RouteDestination], Field(min_length=1, max_length=32)]
    fork_to: Annotated[tuple[Connection, ...], Field(max_length=32)] = ()
    on_error: TrimmedText = DISCARD


class TriggerEntry(Entry):
    """`trigger` of an aggregation."""

    count: PositiveNumber | None = None
    timeout_seconds: Seconds | None = None
    condition: Text | None = None


class AggregationEntry(Entry):
    """An entry of `aggregations`."""

    name: NodeName
    plugin: Text
    input: Connection
    on_error: TrimmedText
    trigger: TriggerEntry
    on_success: Connection | None = None
    output_mode: OutputMode = OutputMode.TRANSFORM
    expected_output_count: Annotated[WholeNumber, Field(ge=0)] | None = None
    options: dict[str, Any] = {}


class CoalesceEntry(Entry):
    """An entry of `coalesce`."""

    name: NodeName
    branches: Branches
    policy: CoalescePolicy = CoalescePolicy.REQUIRE_ALL
    merge: MergeStrategy = MergeStrategy.UNION
    timeout_seconds: Seconds | None = None
    quorum_count: PositiveNumber | None = None
    select_branch: Connection | None = None
    on_success: Connection | None = None


class SinkEntry(Entry):
    """An entry of `sinks`."""

    plugin: Text
    on_write_failure: TrimmedText | None = None
    options: dict[str, Any] = {}
