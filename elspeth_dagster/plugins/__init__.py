"""Sources, transforms and sinks: the base classes, the built-in ones, and where those of users are found.

What a plugin of your own needs is here; the rest of the package may change.
"""

from elspeth_dagster.plugins.base import (
    FrameResult,
    FrameTransform,
    NoOptions,
    Notice,
    Options,
    Plugin,
    PluginContext,
    ReadRequest,
    Replay,
    RowError,
    RowSink,
    RowSource,
    RowTransform,
    Sink,
    Source,
    SourceChunk,
    Transform,
    Transformed,
    TransientError,
)

__all__ = [
    "FrameResult",
    "FrameTransform",
    "NoOptions",
    "Notice",
    "Options",
    "Plugin",
    "PluginContext",
    "ReadRequest",
    "Replay",
    "RowError",
    "RowSink",
    "RowSource",
    "RowTransform",
    "Sink",
    "Source",
    "SourceChunk",
    "Transform",
    "Transformed",
    "TransientError",
]
