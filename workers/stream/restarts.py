"""When a dead worker may start again. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class RestartPolicy:
    """Exponential back-off; more than `limit` failures in `window_s` seconds are a crash loop."""

    limit: int
    window_s: float
    first_delay_s: float = 0.2
    longest_delay_s: float = 10.0
    _failures: deque[float] = field(default_factory=deque)

    def failed(self, now_s: float) -> float | None:
        """Note a failure; give the seconds to wait before a restart, None for a crash loop."""
        while self._failures and now_s - self._failures[0] > self.window_s:
            self._failures.popleft()
        self._failures.append(now_s)
        recent = len(self._failures)
        if recent > self.limit:
            return None
        return min(self.first_delay_s * 2.0 ** (recent - 1), self.longest_delay_s)
