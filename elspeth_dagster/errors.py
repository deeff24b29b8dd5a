"""The root of every error that this package raises on purpose."""


class ElspethError(Exception):
    """Base of all errors of this package.

    Attributes:
        retryable: Whether trying the same thing again may succeed without anyone changing anything.
    """

    retryable = False


class UsageError(ElspethError):
    """What was asked for cannot be; nothing was begun."""
