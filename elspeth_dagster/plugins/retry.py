"""Calls that are tried again when what went wrong may pass by itself (settings reference, 8.2)."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from elspeth_dagster.plugins.base import PluginError, RowError, may_pass
from elspeth_dagster.settings import RetrySettings

ResultT = TypeVar("ResultT")
_MAX_JITTER_SECONDS = 1.0


@dataclass(frozen=True)
class Retry:
    """How calls of plugins are tried again.

    Attributes:
        settings: How often in all, and how long is waited between.
        pause: Waits for so many seconds. An interrupt that it raises passes.
        scrubbed: Takes secrets out of the texts of errors.
        chance: Gives a random number from 0 to 1.
    """

    settings: RetrySettings
    pause: Callable[[float], None]
    scrubbed: Callable[[str], str] = str
    chance: Callable[[], float] = random.random

    def call(self, work: Callable[[], ResultT]) -> tuple[ResultT | RowError, tuple[str, ...]]:
        """Calls `work` until it succeeds, or as often as it may be tried.

        Returns:
            Its result, or the error that there is when every try failed; and what went wrong in each of the
            tries before the last one.

        Raises:
            Exception: Whatever `work` raises that does not pass by itself.
        """
        failed: list[str] = []
        while True:
            try:
                return work(), tuple(failed)
            except Exception as error:
                if not may_pass(error):
                    raise
                described = self._described(error)
            if len(failed) + 1 >= self.settings.max_attempts:
                details = {"tries": len(failed) + 1, "error": described}
                return RowError("retries_exhausted", details), tuple(failed)
            failed.append(described)
            self.pause(self.delay_seconds(len(failed)))

    def delay_seconds(self, failed: int) -> float:
        """How long is waited after so many failed tries.

        The delay grows exponentially, with as much as the same again by chance, but no more than a second of
        that, and is never longer than `max_delay_seconds`.
        """
        limit, first = self.settings.max_delay_seconds, self.settings.initial_delay_seconds
        # Compared by their logarithms, since the power of a large number of tries is no float any more.
        if (failed - 1) * math.log(self.settings.exponential_base) >= math.log(limit / first):
            return limit
        delay = first * self.settings.exponential_base ** (failed - 1)
        return min(limit, delay + self.chance() * min(delay, _MAX_JITTER_SECONDS))

    def _described(self, error: Exception) -> str:
        text = str(error) if isinstance(error, PluginError) else str(PluginError(error))
        return self.scrubbed(text.encode("utf-8", "backslashreplace").decode())
