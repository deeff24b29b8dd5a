"""Why a PostgreSQL server lets nobody in: for now, or until somebody changes something."""

# A server in another language says it otherwise, and is then waited for in vain. The other way round, a list
# of what passes would take such a server's restart for a refusal, and stop what a little patience had saved.
_FOR_GOOD = (
    "does not exist",
    "authentication failed",
    "pg_hba.conf",
    "not permitted",
    "permission denied",
)


def keeps_out(text: str) -> bool:
    """Whether what a server says to a new connection is a refusal that does not pass by itself.

    Args:
        text: What it says: libpq gives no SQLSTATE for a connection that was never made.
    """
    return "FATAL:" in text and any(word in text for word in _FOR_GOOD)
