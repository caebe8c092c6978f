"""Scorings that misbehave."""

from __future__ import annotations

import time

from detector.scoring import Scores
from workers.stream.scoring.backend import Scoring, ScoringFuture, Work


class SlowScoring:
    """Delays another scoring: a stand-in for an overloaded scorer, for load tests."""

    def __init__(self, inner: Scoring, delay_s: float) -> None:
        """Have each call of `inner` take `delay_s` longer."""
        self._inner = inner
        self._delay_s = delay_s

    def submit(self, work: Work) -> ScoringFuture:
        """Submit to the inner scoring; the scores are held back."""
        return _HeldBack(self._inner.submit(work), time.monotonic() + self._delay_s)


class _HeldBack:
    def __init__(self, inner: ScoringFuture, until: float) -> None:
        self._inner = inner
        self._until = until
        self.timing = inner.timing

    def wait(self, timeout_s: float) -> bool:
        left = self._until - time.monotonic()
        if left > timeout_s:
            time.sleep(timeout_s)
            return False
        time.sleep(max(left, 0.0))
        return self._inner.wait(0.0)

    def scores(self) -> Scores:
        self.wait(float("inf"))
        return self._inner.scores()

    def cancel(self) -> None:
        self._inner.cancel()
