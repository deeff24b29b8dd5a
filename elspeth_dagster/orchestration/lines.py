"""What a server of processes and who asks it tell each other.

A line with what `dagster api execute_run` takes is answered by who the process is that was forked for it.
After `GO` that process begins to work; after anything else, or nothing, it ends.
"""

from typing import IO

GO = b"go\n"
STAY = b"stay\n"


def say(pipe: IO[bytes], line: bytes) -> None:
    """Writes a line that is not held back."""
    pipe.write(line)
    pipe.flush()
