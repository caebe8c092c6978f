"""Scorers that take their time, answer in any order, fail, and die; and a model to score with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from detector.calibration.alarm_rule import AlarmRule
from detector.calibration.drift import FEWEST, REFERENCES, DriftWatch
from detector.scoring import Scores
from tests.support.alarm_rules import make_rule
from tests.support.logs import Rules
from workers.stream.scoring.backend import ScorerLostError, ScoringFuture, Timing, Work

POISON = 5000.0
"""No scorer survives a window that holds a reading of at least this."""

_PATIENCE = 2
"""So many waits of some length answer any call: time passes."""


RATE = 0.1
_STEP = 9973
_HEIGHT = 30.0
"""Levels lie between 0 and this, most of them far below: a sensor of a dozen readings sees
incidents open, recover, be taken up again and come to stay."""
_BAR = 2.0


def _rule() -> AlarmRule:
    rule: AlarmRule = make_rule(rate=RATE, memory=8.0, closes_after=1, merge_gap=1)
    return rule


def _watch() -> DriftWatch:
    """With epochs of two readings, so that its state is never empty."""
    medians = np.full((2, REFERENCES), np.inf)
    medians[:, :FEWEST] = np.linspace(0.0, _HEIGHT, FEWEST)
    return DriftWatch(
        medians=medians,
        count=np.array([FEWEST, FEWEST]),
        power=np.array([0.5, 0.5]),
        epoch_rows=2,
        limit=2.0,
    )


class SimDetector:
    """What a loop asks of a detector; a score names each reading of its window, when and where."""

    name, version = "sim", "1"
    channels, units = ("x",), ("bar",)
    max_gap_s = interval_s = 1.0
    n_groups = 2
    identity = SimpleNamespace(
        interval_s=1.0, training={"budget_words": "many", "budget_basis": "counted"}
    )

    def __init__(self, receptive_field: int, warm_up: int) -> None:
        self.receptive_field, self.warm_up = receptive_field, warm_up
        self._weights = 7 ** np.arange(receptive_field, dtype=np.int64) % _STEP
        calibration = SimpleNamespace(threshold=np.exp([_BAR, _BAR + 1]))
        self.head = SimpleNamespace(
            alarms=_rule(),
            drift=_watch(),
            likeness=None,
            latent_map=None,
            fusion=None,
            calibration=calibration,
            partial=calibration,
            residual=np.array([[25.0], [75.0]]),
        )

    @classmethod
    def of(cls, rules: Rules) -> SimDetector:
        return cls(rules.receptive_field, rules.least_readings)

    def group_of(self, sensor: str) -> int:
        return int(sensor.startswith("b"))

    def threshold_of(self, group: int, *, partial: bool = False) -> float:
        return float(self.head.calibration.threshold[group])

    def number(self, times_ns: Any, values: Any) -> int:
        """Of a window: an integer, so that no rounding hides a difference."""
        readings = np.asarray(values).astype(np.int64) + 13 * (np.asarray(times_ns) // 10**6)
        return int((len(values) + readings @ self._weights[-len(values) :]) % _STEP)

    def levels(self, number: int, *, partial: bool) -> tuple[float, float]:
        """Long and short level of a window, made of its number."""
        long = _HEIGHT * (number / _STEP) ** 5
        short = 0.5 * long
        return (float("nan") if partial else long), short

    def score(self, rows: Any, ends: Any, groups: Any, *, lengths: Any, times: Any) -> Scores:
        windows = [
            slice(end - length + 1, end + 1)
            for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)
        ]
        if any(rows[window, 0].max() >= POISON for window in windows):
            raise ValueError("poison")
        raw = np.array([self.number(times[w], rows[w, 0]) for w in windows], np.int64)
        partial = lengths < self.receptive_field
        levels = np.array(
            [
                self.levels(number, partial=is_partial)
                for number, is_partial in zip(raw.tolist(), partial.tolist(), strict=True)
            ]
        ).reshape(-1, 2)
        score = self.scores(levels, groups)
        cleaned = raw.astype(np.float64)[:, None]
        return Scores(
            score=score,
            raw=raw.astype(np.float32),
            p_value=np.ones(len(ends), np.float32),
            expected=cleaned,
            denoised=cleaned,
            partial=partial,
            flagged=np.flatnonzero(score >= 1.0),
            contribution=np.ones((len(ends), 1), np.float32),
            levels=levels,
            latent=cleaned.astype(np.float32),
        )

    def scores(self, levels: Any, groups: Any) -> Any:
        """The scores of a sensor's first day that levels stand for."""
        ranking = np.where(np.isnan(levels[:, 0]), levels[:, 1], levels[:, 0])
        return np.exp(ranking) / self.head.calibration.threshold[groups]


class SimScoring:
    """Keeps the calls until somebody answers them."""

    def __init__(self, detector: SimDetector) -> None:
        self.detector = detector
        self.open: list[SimFuture] = []

    def submit(self, work: Work) -> ScoringFuture:
        ticket = SimFuture(self, work)
        self.open.append(ticket)
        return ticket

    def answer(self, which: int, error: Exception | None = None) -> None:
        """Answer one of the open calls, with an error if there is one."""
        if self.open:
            self.open[which % len(self.open)].answer(error)


class SimFuture:
    def __init__(self, scoring: SimScoring, work: Work) -> None:
        self._scoring, self._work = scoring, work
        self._error: Exception | None = None
        self._is_ready = False
        self._waits = 0
        self.timing: Timing | None = None

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
        return self._work.scores(self._scoring.detector)  # type: ignore[arg-type]

    def cancel(self) -> None:
        if not self._is_ready:
            self.answer(ScorerLostError("cancelled"))
