"""What all baselines share: scaling, filled gaps, a threshold without labels.

The threshold comes from a model fitted on the first four fifths of the training rows and its
scores of the last fifth, by the product's own tail quantile at the asked rate of rows; the scores
come from a model fitted on all training rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.detection.detector import Scored, Train
from benchmarks.detection.series import History, Rows, Times
from detector.calibration.threshold import tail_quantile

CALIBRATION_SHARE = 0.2
_CLIP = 20.0
_LEAST_THRESHOLD = 1e-9


class RowModel(Protocol):
    """A fitted model of scaled rows."""

    def measure(self, scaled: Rows) -> tuple[Rows, Rows | None]:
        """Raw score [T] of each row, larger is more anomalous, and squared errors [T, C]."""
        ...


Fit = Callable[[Rows, int], RowModel]
"""From scaled training rows and a seed to a model."""


@dataclass(frozen=True)
class Scaling:
    """Rows in training deviations, bounded; a floor keeps nearly constant channels quiet."""

    mean: Rows
    scale: Rows

    @classmethod
    def fit(cls, rows: Rows) -> Scaling:
        """Mean and deviation of each channel; a constant one gets a tenth of its value."""
        low, high, mean = rows.min(axis=0), rows.max(axis=0), rows.mean(axis=0)
        scale = np.maximum(rows.std(axis=0), 0.1 * (high - low))
        constant = 0.1 * np.maximum(np.abs(mean), 1.0)
        return cls(mean, np.where(high > low, scale, constant))

    def apply(self, rows: Rows) -> Rows:
        """Scaled rows, within 20 deviations."""
        scaled: Rows = np.clip((rows - self.mean) / self.scale, -_CLIP, _CLIP)
        return scaled


def filled(rows: Rows) -> Rows:
    """Each missing value replaced by the channel's last one; by 0 before the first."""
    present = np.isfinite(rows)
    if present.all():
        return rows
    last = np.maximum.accumulate(np.where(present, np.arange(len(rows))[:, None], -1), axis=0)
    values: Rows = np.take_along_axis(rows, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, values, 0.0)


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline."""

    scaling: Scaling
    model: RowModel
    threshold: float

    def score(self, rows: Rows, ts_ns: Times) -> Scored:  # noqa: ARG002 (the seam's)
        """Raw scores over the threshold."""
        raw, errors = self.model.measure(self.scaling.apply(filled(rows)))
        return Scored(score=raw / self.threshold, errors=errors)


def calibrated(fit: Fit) -> Train:
    """A baseline that sets its threshold on the last fifth of its training rows."""

    def train(history: History) -> Baseline:
        rows = filled(history.rows)
        border = round(len(rows) * (1.0 - CALIBRATION_SHARE))
        early = Scaling.fit(rows[:border])
        scores, _ = fit(early.apply(rows[:border]), history.seed).measure(early.apply(rows))
        threshold = tail_quantile(scores[border:], history.rate)
        scaling = Scaling.fit(rows)
        model = fit(scaling.apply(rows), history.seed)
        return Baseline(scaling, model, max(threshold, _LEAST_THRESHOLD))

    return train
