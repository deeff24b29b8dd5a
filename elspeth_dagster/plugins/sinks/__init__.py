"""The sinks that come with the package."""
