"""The settings file: read, validated, and recorded without its secrets."""

from elspeth_dagster.settings.checks import CheckSettings, CountLimit, FractionLimit, Limit, Severity
from elspeth_dagster.settings.dagster_section import MAX_SHARDS, DagsterSettings, SensorSettings
from elspeth_dagster.settings.differences import settings_differences
from elspeth_dagster.settings.engine_sections import (
    CheckpointSettings,
    ExportSettings,
    LandscapeSettings,
    RateLimitSettings,
    RetrySettings,
    TelemetrySettings,
)
from elspeth_dagster.settings.errors import Problem, SettingsError, did_you_mean, nearest
from elspeth_dagster.settings.load import load_settings, pipeline_name
from elspeth_dagster.settings.locations import KeyPath, Locations, Mark, key_path_text
from elspeth_dagster.settings.nodes import (
    AggregationSettings,
    CoalescePolicy,
    CoalesceSettings,
    GateSettings,
    MergeStrategy,
    NodeSettings,
    OutputMode,
    SinkSettings,
    SourceSettings,
    TransformSettings,
    TriggerSettings,
)
from elspeth_dagster.settings.partitions import Cadence
from elspeth_dagster.settings.settings import Settings

__all__ = [
    "MAX_SHARDS",
    "AggregationSettings",
    "Cadence",
    "CheckSettings",
    "CheckpointSettings",
    "CoalescePolicy",
    "CoalesceSettings",
    "CountLimit",
    "DagsterSettings",
    "ExportSettings",
    "FractionLimit",
    "GateSettings",
    "KeyPath",
    "LandscapeSettings",
    "Limit",
    "Locations",
    "Mark",
    "MergeStrategy",
    "NodeSettings",
    "OutputMode",
    "Problem",
    "RateLimitSettings",
    "RetrySettings",
    "SensorSettings",
    "Settings",
    "SettingsError",
    "Severity",
    "SinkSettings",
    "SourceSettings",
    "TelemetrySettings",
    "TransformSettings",
    "TriggerSettings",
    "did_you_mean",
    "key_path_text",
    "load_settings",
    "nearest",
    "pipeline_name",
    "settings_differences",
]
