"""Channels with a day and a weekend, simulated."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

MINUTE_NS = 60 * 10**9
DAY_NS = 1440 * MINUTE_NS
MONDAY_NS = 1_699_833_600 * 10**9


class Rhythm(NamedTuple):
    """Rows, the season in them, and their times."""

    rows: Float64[np.ndarray, "rows channels"]
    season: Float64[np.ndarray, "rows channels"]
    times_ns: Int64[np.ndarray, " rows"]

    def between(self, start: float, stop: float) -> Rhythm:
        """From one week to another."""
        weeks = (self.times_ns - self.times_ns[0]) / (7 * DAY_NS)
        mask = (weeks >= start) & (weeks < stop)
        return Rhythm(self.rows[mask], self.season[mask], self.times_ns[mask])


def rhythm(
    *,
    weeks: float,
    channels: int = 3,
    step_ns: int = 5 * MINUTE_NS,
    noise: float = 0.4,
    amplitude: float = 1.0,
    shape: int = 0,
    seed: int = 0,
) -> Rhythm:
    """Bumps at hours of the day, lower and later at the weekend; noise with a memory of hours.

    Args:
        shape: seed of the season, the same for sensors of one kind.
        seed: of the noise.
    """
    times_ns = MONDAY_NS + np.arange(round(weeks * 7 * DAY_NS / step_ns), dtype=np.int64) * step_ns
    day, hour = np.divmod((times_ns - MONDAY_NS) % (7 * DAY_NS) / DAY_NS, 1.0)
    form = np.random.default_rng(1000 + shape)
    season = np.empty((len(times_ns), channels))
    for channel in range(channels):
        at, height = form.uniform(0.2, 0.8), form.uniform(0.3, 0.6)
        wave = _bump(hour - at) + 0.5 * np.cos(2 * np.pi * (hour - form.uniform()))
        rest = height * _bump(hour - at - 0.1) - 0.4
        season[:, channel] = np.where(day < 5, wave, rest)
    season = amplitude * (season - season.mean(axis=0)) / season.std(axis=0)
    rng = np.random.default_rng(seed)
    keep = np.exp(-step_ns / (100 * MINUTE_NS))
    noises = rng.normal(size=season.shape) * np.sqrt(1 - keep**2)
    for row in range(1, len(noises)):
        noises[row] += keep * noises[row - 1]
    return Rhythm(season + noise * noises, season, times_ns)


def _bump(away: NDArray[np.float64]) -> NDArray[np.float64]:
    away = (away + 0.5) % 1.0 - 0.5
    return np.exp(-0.5 * (away / 0.1) ** 2)


def left_share(left: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    """Variance that is left, as a share of the whole; the mean over channels."""
    return float(np.mean(np.nanvar(left, axis=0) / np.nanvar(whole, axis=0)))
