"""Baselines without a network: nothing, variance, difference, deviation, principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.detection.baselines.base import calibrated
from benchmarks.detection.detector import NamedDetector, Scored
from benchmarks.detection.series import History, Rows, Times

VARIANCE_ROWS = 32
PCA_SHARE = 0.9


@dataclass(frozen=True)
class _AllRows:
    def score(self, rows: Rows, ts_ns: Times) -> Scored:  # noqa: ARG002 (the seam's)
        return Scored(score=np.ones(len(rows)))


def _flag_all_rows(history: History) -> _AllRows:  # noqa: ARG001 (it learns nothing)
    return _AllRows()


@dataclass(frozen=True)
class _MovingVariance:
    def measure(self, scaled: Rows) -> tuple[Rows, Rows]:
        """Variance over the last 32 rows."""
        ends = np.arange(1, len(scaled) + 1)
        starts = np.maximum(ends - VARIANCE_ROWS, 0)
        count = (ends - starts)[:, None]
        mean = _window_sums(scaled, starts, ends) / count
        errors = np.maximum(_window_sums(scaled**2, starts, ends) / count - mean**2, 0.0)
        return errors.mean(axis=1), errors


def _window_sums(rows: Rows, starts: Times, ends: Times) -> Rows:
    so_far = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    sums: Rows = so_far[ends] - so_far[starts]
    return sums


@dataclass(frozen=True)
class _SquaredDifference:
    def measure(self, scaled: Rows) -> tuple[Rows, Rows]:
        """Step from the row before."""
        errors = np.diff(scaled, axis=0, prepend=scaled[:1]) ** 2
        return errors.mean(axis=1), errors


@dataclass(frozen=True)
class _ZScore:
    def measure(self, scaled: Rows) -> tuple[Rows, Rows]:
        """Distance from the training mean."""
        errors = scaled**2
        return errors.mean(axis=1), errors


@dataclass(frozen=True)
class _PCA:
    components: Rows  # [k, C]

    def measure(self, scaled: Rows) -> tuple[Rows, Rows]:
        """Distance from the plane of the components."""
        errors = (scaled - scaled @ self.components.T @ self.components) ** 2
        return errors.mean(axis=1), errors


def _fit_pca(scaled: Rows, seed: int) -> _PCA:  # noqa: ARG001 (nothing is drawn)
    _, strengths, directions = np.linalg.svd(scaled, full_matrices=False)
    variance = np.cumsum(strengths**2)
    if variance[-1] == 0.0:
        return _PCA(directions[:1])
    kept = int(np.searchsorted(variance, PCA_SHARE * variance[-1])) + 1
    return _PCA(directions[:kept])


ALL_ROWS = NamedDetector(name="all rows", about="flags every row", train=_flag_all_rows)
MOVING_VARIANCE = NamedDetector(
    name="moving variance",
    about=f"mean variance of the channels over the last {VARIANCE_ROWS} rows",
    train=calibrated(lambda scaled, seed: _MovingVariance()),  # noqa: ARG005
)
SQUARED_DIFFERENCE = NamedDetector(
    name="squared difference",
    about="mean squared step from the row before",
    train=calibrated(lambda scaled, seed: _SquaredDifference()),  # noqa: ARG005
)
Z_SCORE = NamedDetector(
    name="z-score",
    about="mean squared distance from the training mean, in training deviations",
    train=calibrated(lambda scaled, seed: _ZScore()),  # noqa: ARG005
)
PCA = NamedDetector(
    name="PCA 90 %",
    about="squared residual off the components with 90 % of the training variance",
    train=calibrated(_fit_pca),
)
