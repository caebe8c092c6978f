"""Vigie's own detectors in the benchmark: the one place that knows how they are trained and asked.

"plain" is the signal autoencoder alone, as `TrainingConfig` trains it by default. Another detector,
or a step of an ablation, is one more entry of `VIGIE` with a `trainer` of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.detection.baselines.base import Scaling, filled
from benchmarks.detection.detector import NamedDetector, Scored, Train
from benchmarks.detection.series import History, Rows, Times
from detector.calibration.threshold import AlarmBudget
from detector.scoring import Detector
from detector.signal.series import Series
from detector.training.train import TrainingConfig, train

_BLOCK = 20_000


@dataclass(frozen=True)
class Vigie:
    """A trained detector on one sensor's stream."""

    detector: Detector
    sensor: str
    scale: Rows  # training deviation of each channel, with a floor, [C]

    def score(self, rows: Rows, ts_ns: Times) -> Scored:  # noqa: ARG002 (no season yet)
        """Published scores; rows before the receptive field is full get 0, "not scored"."""
        detector, n_rows = self.detector, len(rows)
        score, errors = np.zeros(n_rows), np.full(rows.shape, np.nan)
        blame = np.full(rows.shape, np.nan)
        first = detector.receptive_field - 1
        for begin in range(first, n_rows, _BLOCK):
            # The block with its past, as a worker would send it.
            past = begin - first
            sent = rows[past : begin + _BLOCK]
            ends = np.arange(first, len(sent))
            groups = np.full(len(ends), detector.group_of(self.sensor), dtype=np.int32)
            scores = detector.score(sent, ends, groups)
            here = slice(begin, begin + len(ends))
            score[here] = scores.score
            errors[here] = ((sent[first:] - scores.expected) / self.scale) ** 2
            blame[begin + scores.flagged] = scores.contribution
        return Scored(score=score, blame=blame, errors=errors)


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
        return Vigie(detector, history.name, Scaling.fit(filled(history.rows)).scale)

    return fit


PLAIN = NamedDetector(
    name="vigie plain", about="the signal autoencoder alone, product defaults", train=trainer()
)
VIGIE = (PLAIN,)
