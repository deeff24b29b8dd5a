"""The sources that are built in."""
