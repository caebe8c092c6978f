"""Scorers that take their time, answer in any order, fail, and die; and a model to score with."""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.scoring import Scores
from workers.stream.scoring.backend import ScorerLostError, ScoringFuture

POISON = 5000.0
"""No scorer survives a window that holds a reading of at least this."""

FLAGGED_FROM = 8000

_PATIENCE = 2
"""So many waits of some length answer any call: time passes."""


class SimDetector:
    """What a loop asks of a detector; a score names each reading of its window and its place."""

    name, version = "sim", "1"
    channels = ("x",)
    max_gap_s = 1.0

    def __init__(self, receptive_field: int) -> None:
        self.receptive_field = receptive_field
        self._weights = 7 ** np.arange(receptive_field, dtype=np.int64) % 9973

    def group_of(self, sensor: str) -> int:
        return 0

    def threshold_of(self, group: int) -> float:
        return 1.0

    def numbers(self, windows: Any) -> Any:
        """One number a window: integers, so that no rounding hides a difference."""
        return (np.asarray(windows).astype(np.int64) @ self._weights) % 9973

    def score(self, rows: Any, ends: Any) -> Scores:
        places = np.asarray(ends)[:, None] + np.arange(1 - self.receptive_field, 1)
        if len(ends) and rows[places, 0].max() >= POISON:
            raise ValueError("poison")
        raw = self.numbers(rows[places, 0])
        score = raw / FLAGGED_FROM
        flagged = np.flatnonzero(score >= 1.0)
        cleaned = raw.astype(np.float64)[:, None]
        return Scores(
            score=score,
            raw=raw.astype(np.float32),
            p_value=np.ones(len(ends), np.float32),
            expected=cleaned,
            denoised=cleaned,
            flagged=flagged,
            contribution=np.ones((len(flagged), 1), np.float32),
        )


class SimScoring:
    """Keeps the calls until somebody answers them."""

    def __init__(self, detector: SimDetector) -> None:
        self.detector = detector
        self.open: list[SimFuture] = []

    def submit(self, rows: Any, ends: Any, groups: Any) -> ScoringFuture:
        ticket = SimFuture(self, rows, ends)
        self.open.append(ticket)
        return ticket

    def answer(self, which: int, error: Exception | None = None) -> None:
        """Answer one of the open calls, with an error if there is one."""
        if self.open:
            self.open[which % len(self.open)].answer(error)


class SimFuture:
    def __init__(self, scoring: SimScoring, rows: Any, ends: Any) -> None:
        self._scoring, self._rows, self._ends = scoring, rows, ends
        self._error: Exception | None = None
        self._is_ready = False
        self._waits = 0

    def answer(self, error: Exception | None = None) -> None:
        self._error, self._is_ready = error, True
        self._scoring.open.remove(self)

    def wait(self, timeout_s: float) -> bool:
        self._waits += timeout_s > 0
        if not self._is_ready and self._waits >= _PATIENCE:
            self.answer()
        return self._is_ready

    def scores(self) -> Scores:
        assert self._is_ready
        if self._error is not None:
            raise self._error
        return self._scoring.detector.score(self._rows, self._ends)

    def cancel(self) -> None:
        if not self._is_ready:
            self.answer(ScorerLostError("cancelled"))
