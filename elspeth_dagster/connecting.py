"""Why a PostgreSQL server lets nobody in: for now, or until somebody changes something."""

_FOR_NOW = (
    "starting up",
    "shutting down",
    "recovery",
    "not yet accepting",
    "too many",
    "remaining connection",
)


def keeps_out(text: str) -> bool:
    """Whether what a server says to a new connection is a refusal that does not pass by itself.

    Args:
        text: What it says: libpq gives no SQLSTATE for a connection that was never made.
    """
    return "FATAL:" in text and not any(word in text for word in _FOR_NOW)
