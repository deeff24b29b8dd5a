"""Sources, transforms and sinks: the base classes, the built-in ones, and where those of users are found."""
