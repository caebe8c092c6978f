"""Forests: isolation forest (scikit-learn) and half-space trees (river)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.detection.baselines.base import calibrated
from benchmarks.detection.detector import NamedDetector
from benchmarks.detection.series import Rows

ISOLATION_TREES = 100
HALF_SPACE_ROWS = 2_000
HALF_SPACE_SCORED = 5_000
HALF_SPACE_WINDOW = 250
_TREES, _HEIGHT = 25, 8


@dataclass(frozen=True)
class _IsolationForest:
    forest: Any  # sklearn.ensemble.IsolationForest

    def measure(self, scaled: Rows) -> tuple[Rows, None]:
        """How few cuts set a row apart, 0..1."""
        return -self.forest.score_samples(scaled), None


def _fit_isolation_forest(scaled: Rows, seed: int) -> _IsolationForest:
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=ISOLATION_TREES, random_state=seed)
    return _IsolationForest(forest.fit(scaled))


@dataclass(frozen=True)
class _HalfSpaceTrees:
    trees: Any  # river.anomaly.HalfSpaceTrees
    low: Rows
    span: Rows

    def measure(self, scaled: Rows) -> tuple[Rows, None]:
        """How empty a row's corner of space was in training, 0..1.

        One row in so many that at most 5,000 are scored; those between keep the last score.
        """
        step = -(-len(scaled) // HALF_SPACE_SCORED)
        rows = _unit(scaled[::step], self.low, self.span)
        scores = np.array([self.trees.score_one(dict(enumerate(row))) for row in rows.tolist()])
        return np.repeat(scores, step)[: len(scaled)], None


def _fit_half_space_trees(scaled: Rows, seed: int) -> _HalfSpaceTrees:
    from river.anomaly import HalfSpaceTrees

    low, high = scaled.min(axis=0), scaled.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    picked = np.linspace(0, len(scaled) - 1, min(HALF_SPACE_ROWS, len(scaled))).astype(np.int64)
    trees: Any = HalfSpaceTrees(
        n_trees=_TREES,
        height=_HEIGHT,
        # The trees judge by the last full window: a short history must fill one.
        window_size=min(HALF_SPACE_WINDOW, len(picked) // 2),
        seed=seed,
    )
    for row in _unit(scaled[picked], low, span).tolist():
        trees.learn_one(dict(enumerate(row)))
    return _HalfSpaceTrees(trees, low, span)


def _unit(scaled: Rows, low: Rows, span: Rows) -> Rows:
    unit: Rows = np.clip((scaled - low) / span, 0.0, 1.0)
    return unit


ISOLATION_FOREST = NamedDetector(
    name="isolation forest",
    about=f"scikit-learn, {ISOLATION_TREES} trees",
    train=calibrated(_fit_isolation_forest),
    needs="sklearn",
)
HALF_SPACE_TREES = NamedDetector(
    name="half-space trees",
    about=(
        f"river, {_TREES} trees of height {_HEIGHT}; learns from at most {HALF_SPACE_ROWS:,} rows, "
        f"scores at most {HALF_SPACE_SCORED:,} of a stream, evenly spread"
    ),
    train=calibrated(_fit_half_space_trees),
    needs="river",
    quick=False,
)
