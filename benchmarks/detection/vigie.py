"""Vigie's own detectors in the benchmark: the one place that knows how they are trained and asked.

"vigie" is what `vigie train` makes by default, "vigie plain" the signal autoencoder alone. Another,
or a step of an ablation, is one more entry of `VIGIE` with a `trainer` of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.detection.baselines.base import Scaling, filled
from benchmarks.detection.detector import NamedDetector, Ranges, Scored, Train
from benchmarks.detection.series import History, Rows, Times
from detector.calibration.alarm_rule import open_incidents
from detector.calibration.budget import AlarmBudget
from detector.calibration.fusion import LEVELS
from detector.calibration.settled import settled
from detector.scoring import Detector
from detector.signal.series import Series
from detector.training.pyramid import PyramidTraining
from detector.training.train import TrainingConfig, train

_BLOCK = 20_000


@dataclass(frozen=True)
class Vigie:
    """A trained detector on one sensor's stream."""

    detector: Detector
    sensor: str
    n_history: int  # rows that it was trained on
    scale: Rows  # training deviation of each channel, with a floor, [C]

    def score(self, rows: Rows, ts_ns: Times) -> Scored:
        """Published scores, incidents, and the ranking read 64 rows late.

        Rows of the warm-up get 0, "not scored". The alarm rule begins behind the history.
        """
        detector, n_rows = self.detector, len(rows)
        score, errors = np.zeros(n_rows), np.full(rows.shape, np.nan)
        levels, blame = np.full((n_rows, LEVELS), np.nan), np.full(rows.shape, np.nan)
        field, first = detector.receptive_field, detector.warm_up - 1
        for begin in range(first, n_rows, _BLOCK):
            # The block with its past, as a worker would send it.
            past = max(begin - field + 1, 0)
            sent = slice(past, begin + _BLOCK)
            here = np.arange(begin, min(begin + _BLOCK, n_rows))
            groups = np.full(len(here), detector.group_of(self.sensor), dtype=np.int32)
            scores = detector.score(
                rows[sent],
                here - past,
                groups,
                lengths=np.minimum(here + 1, field),
                times=ts_ns[sent],
            )
            score[here], levels[here] = scores.score, scores.levels
            errors[here] = ((rows[here] - scores.expected) / self.scale) ** 2
            blame[begin + scores.flagged] = scores.contribution[scores.flagged]
        return Scored(
            score=score,
            incidents=self._incidents(levels),
            settled=settled(score),
            blame=blame,
            errors=errors,
        )

    def _incidents(self, levels: Rows) -> Ranges:
        """First row and row after the last of each incident behind the history."""
        rule = self.detector.head.alarms
        assert rule is not None  # of a detector that was trained just now
        group = np.array([self.detector.group_of(self.sensor)])
        behind = levels[self.n_history :]
        advanced = rule.advance(behind, np.array([len(behind)]), group, rule.start(group))
        found = [*advanced.ended, *open_incidents(advanced.states)]
        ranges = np.array([(one.first, one.last + 1) for one in found], dtype=np.int64)
        return ranges.reshape(-1, 2) + self.n_history


def trainer(**choices: Any) -> Train:
    """What trains a detector of these choices of `TrainingConfig`; all else is the default.

    Every gap of the recorded times lies inside one sequence.
    """

    def fit(history: History) -> Vigie:
        longest_step_s = float(np.diff(history.ts_ns).max()) / 1e9
        detector = train(
            [Series(sensor=history.name, ts_ns=history.ts_ns, values=history.rows)],
            TrainingConfig(
                channels=history.channels,
                seed=history.seed,
                budget=AlarmBudget(false_alarms=history.rate, per_s=history.interval_s),
                max_gap_s=longest_step_s + history.interval_s,
                device="cpu",
                **choices,
            ),
        )
        return Vigie(
            detector, history.name, len(history.rows), Scaling.fit(filled(history.rows)).scale
        )

    return fit


PLAIN = NamedDetector(
    name="vigie plain", about="the signal autoencoder alone, product defaults", train=trainer()
)
FULL = NamedDetector(
    name="vigie",
    about="the signal autoencoder and the pyramid, product defaults",
    train=trainer(further_views=(PyramidTraining(),)),
)
VIGIE = (FULL, PLAIN)
