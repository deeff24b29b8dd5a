"""How long one waits for a catalogue whose database is away, and what people are told meanwhile."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from elspeth_dagster.landscape.errors import CatalogueLostError

SERVER_LIMIT_S = 60.0
"""A server that is restarted, or replaced by another, is back within this."""
FILE_LIMIT_S = 1.0
"""What is wrong with a file stays wrong; a look at what became of a commit is worth one more try."""

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 2.0
_SAY_EVERY_S = 10.0

Say = Callable[[str], None]
to_log: Say = logging.getLogger(__name__).warning


@dataclass
class Patience:
    """What is left of the readiness to wait, for all threads that use a landscape.

    Attributes:
        limit_s: How long one piece of work waits.
        say: Takes a line for people.
        pause: Waits for so many seconds.
        ran_out: Whether somebody has waited in vain; then nobody waits until something succeeds, so that an
            op that gives up does so at once, and not once more for every question that it still has.
    """

    limit_s: float
    say: Say = to_log
    pause: Callable[[float], None] = time.sleep
    ran_out: bool = False


@dataclass
class Waiting:
    """One piece of work that is tried until the database answers.

    Attributes:
        patience: That of the landscape.
    """

    patience: Patience
    _since: float | None = None
    _said_at: float = 0.0
    _next_s: float = field(default=_FIRST_WAIT_S)

    def after(self, error: CatalogueLostError) -> None:
        """Waits before the next try.

        Raises:
            CatalogueLostError: The error, when it is time to give up.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if self.patience.ran_out or now - self._since >= self.patience.limit_s:
            self.patience.ran_out = True
            raise error
        if not self._said_at or now - self._said_at >= _SAY_EVERY_S:
            self._said_at = now
            left_s = self.patience.limit_s - (now - self._since)
            self.patience.say(f"{error.what}; trying again for {left_s:.0f} s")
        self.patience.pause(self._next_s)
        self._next_s = min(2 * self._next_s, _LONGEST_WAIT_S)

    def over(self) -> None:
        """Notes that the work is done."""
        self.patience.ran_out = False
        if self._since is not None:
            away_s = time.monotonic() - self._since
            self.patience.say(f"the catalogue is back after {away_s:.0f} s; going on")
