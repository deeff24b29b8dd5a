"""The nodes that a settings file declares, as the rest of the program sees them.

Options can hold secrets, so `repr` of a node shows its name and plugin alone.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.names import DISCARD, SOURCE_NODE


class OutputMode(StrEnum):
    """What an aggregation makes of a batch: new tokens, or the members again."""

    TRANSFORM = "transform"
    PASSTHROUGH = "passthrough"


class CoalescePolicy(StrEnum):
    """Which branches a coalesce waits for."""

    REQUIRE_ALL = "require_all"
    QUORUM = "quorum"
    BEST_EFFORT = "best_effort"
    FIRST = "first"


class MergeStrategy(StrEnum):
    """How a coalesce makes one row of its branches' rows."""

    UNION = "union"
    NESTED = "nested"
    SELECT = "select"


@dataclass(frozen=True, kw_only=True, repr=False)
class NodeSettings:
    """What all nodes have.

    Attributes:
        name: The node's name; `source` for the source.
        path: Key path of the node in the settings file, for `Settings.problem`.
    """

    name: str
    path: KeyPath = ()

    def __repr__(self) -> str:
        plugin = getattr(self, "plugin", None)
        return f"{type(self).__name__}({self.name!r}{f', plugin={plugin!r}' if plugin else ''})"


@dataclass(frozen=True, kw_only=True, repr=False)
class SourceSettings(NodeSettings):
    """The source.

    Attributes:
        plugin: Name of the plugin.
        on_success: Connection or sink that takes its rows.
        on_validation_failure: Sink or `discard`; None only for the plugin `null`. It stands among the
            options in the file, at `failure_path`.
        options: All other options.
    """

    name: str = SOURCE_NODE
    plugin: str
    on_success: str
    on_validation_failure: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    path: KeyPath = (SOURCE_NODE,)

    @property
    def failure_path(self) -> KeyPath:
        """Key path of `on_validation_failure` in the settings file."""
        return (*self.path, "options", "on_validation_failure")


@dataclass(frozen=True, kw_only=True, repr=False)
class TransformSettings(NodeSettings):
    """A transform: reads `input`, sends rows to `on_success`, and those it refuses to `on_error`."""

    plugin: str
    input: str
    on_success: str
    on_error: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, repr=False)
class GateSettings(NodeSettings):
    """A gate: the value of `condition` picks one of `routes` (label to sink, connection or `fork`)."""

    input: str
    condition: str
    routes: dict[str, str]
    fork_to: tuple[str, ...] = ()
    on_error: str = DISCARD


@dataclass(frozen=True, kw_only=True)
class TriggerSettings:
    """When an aggregation's batch is complete: whichever comes first. At least one is given."""

    count: int | None = None
    timeout_seconds: float | None = None
    condition: str | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class AggregationSettings(NodeSettings):
    """An aggregation. Without `on_success` it sends its rows to the connection of its own name."""

    plugin: str
    input: str
    on_error: str
    trigger: TriggerSettings
    on_success: str | None = None
    output_mode: OutputMode = OutputMode.TRANSFORM
    expected_output_count: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, repr=False)
class CoalesceSettings(NodeSettings):
    """A coalesce.

    Attributes:
        branches: Branch to the connection on which it arrives: itself when it comes straight from the fork.
        policy: Which branches it waits for.
        merge: How it makes one row of theirs.
        timeout_seconds: How long it waits, counted from the first arrival.
        quorum_count: How many branches it needs, for the policy `quorum`.
        select_branch: Whose row it takes, for the merge `select`.
        on_success: Sink that takes the merged rows; None when its own name is the connection.
    """

    branches: dict[str, str]
    policy: CoalescePolicy = CoalescePolicy.REQUIRE_ALL
    merge: MergeStrategy = MergeStrategy.UNION
    timeout_seconds: float | None = None
    quorum_count: int | None = None
    select_branch: str | None = None
    on_success: str | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class SinkSettings(NodeSettings):
    """A sink; rows that it cannot write go to the sink `on_write_failure`, or end failed without one."""

    plugin: str
    on_write_failure: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
