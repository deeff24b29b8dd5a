"""The sinks that come with the package, and the reading of what they published."""

from elspeth_dagster.plugins.sinks.reading import UnreadableArtifactError, read_artifact

__all__ = ["UnreadableArtifactError", "read_artifact"]
