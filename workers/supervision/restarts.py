"""When a dead worker may start again. Pure: time and randomness are arguments."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

from workers.errors import VigieError


class CrashLoopError(VigieError):
    """A worker dies again and again: the cause is in the message."""


@dataclass(kw_only=True)
class RestartPolicy:
    """Exponential back-off with jitter; more than `limit` failures in `window_s` are a crash loop.

    Attributes:
        limit: restarts allowed within the window.
        window_s: the time in which failures are counted.
        rng: takes up to `jitter` of each delay away, so that workers that died together, of one
            cause, do not come back together.
        first_delay_s, longest_delay_s: bounds of the delay before jitter.
        jitter: largest share taken away, 0 to 1.
    """

    limit: int
    window_s: float
    rng: Random
    first_delay_s: float = 0.2
    longest_delay_s: float = 10.0
    jitter: float = 0.5
    _failures: deque[float] = field(default_factory=deque)

    def failed(self, now_s: float) -> float | None:
        """Note a failure; give the seconds to wait before a restart, None for a crash loop."""
        while self._failures and now_s - self._failures[0] > self.window_s:
            self._failures.popleft()
        self._failures.append(now_s)
        recent = len(self._failures)
        if recent > self.limit:
            return None
        # Capped before the power: a generous limit must not overflow.
        doublings = min(recent - 1, 60)
        delay_s = min(self.first_delay_s * 2.0**doublings, self.longest_delay_s)
        return delay_s * (1.0 - self.jitter * self.rng.random())
