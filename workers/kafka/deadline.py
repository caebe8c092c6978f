"""One point in time that every call on a path shares."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the clock of ``time.monotonic``."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The point ``seconds`` from now."""
        return cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at_s - time.monotonic())

    def is_over(self) -> bool:
        """True when no time is left."""
        return self.left_s() == 0.0
