"""Baselines by distance: to the nearest of 100 centres, or of 2,000 training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.detection.baselines.base import calibrated
from benchmarks.detection.detector import NamedDetector
from benchmarks.detection.series import Rows, Times

CENTRES = 100
ROUNDS = 30
BANK_ROWS = 2_000
_BLOCK = 4_096


@dataclass(frozen=True)
class _Nearest:
    points: Rows  # [k, C]

    def measure(self, scaled: Rows) -> tuple[Rows, Rows]:
        """Distance to the nearest point, and its parts by channel."""
        errors = np.concatenate(
            [
                (block - self.points[_nearest(block, self.points)]) ** 2
                for block in np.array_split(scaled, -(-len(scaled) // _BLOCK))
            ]
        )
        distance: Rows = np.sqrt(errors.sum(axis=1))
        return distance, errors


def _nearest(rows: Rows, points: Rows) -> Times:
    nearest: Times = ((points**2).sum(axis=1) - 2.0 * rows @ points.T).argmin(axis=1)
    return nearest


def _fit_k_means(scaled: Rows, seed: int) -> _Nearest:
    """Lloyd's algorithm from random rows; a centre that nobody is nearest to stays."""
    rng = np.random.default_rng(seed)
    count = min(CENTRES, len(scaled))
    centres = scaled[np.sort(rng.choice(len(scaled), count, replace=False))]
    for _ in range(ROUNDS):
        owners = _nearest(scaled, centres)
        sizes = np.bincount(owners, minlength=count)
        sums = np.zeros_like(centres)
        np.add.at(sums, owners, scaled)
        used = sizes > 0
        moved = centres.copy()
        moved[used] = sums[used] / sizes[used, None]
        if np.array_equal(moved, centres):
            break
        centres = moved
    return _Nearest(centres)


def _fit_nearest_neighbour(scaled: Rows, seed: int) -> _Nearest:  # noqa: ARG001 (nothing is drawn)
    picked = np.linspace(0, len(scaled) - 1, min(BANK_ROWS, len(scaled))).astype(np.int64)
    return _Nearest(scaled[picked])


K_MEANS = NamedDetector(
    name="k-means 100",
    about=f"distance to the nearest of {CENTRES} centres",
    train=calibrated(_fit_k_means),
)
NEAREST_NEIGHBOUR = NamedDetector(
    name="1-NN",
    about=f"distance to the nearest of at most {BANK_ROWS:,} training rows",
    train=calibrated(_fit_nearest_neighbour),
)
