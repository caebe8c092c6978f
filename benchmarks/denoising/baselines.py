"""Filters and smoothers of one channel, each with a grid that is searched with the clean truth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter, savgol_filter

from benchmarks.denoising.kalman import kalman

FloatArray = npt.NDArray[np.float64]
Column = npt.NDArray[np.float64]
Grid = Sequence[tuple[Any, ...]]

_ALPHAS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_RATIOS = tuple(10.0**power for power in np.arange(-5.0, 2.6, 0.5))
_TRENDS = (0.0, *(10.0**power for power in range(-8, 2)))
_LEVELS = (0.0, *(10.0**power for power in np.arange(-4.0, 1.5, 1.0)))
_WINDOWS = (3, 5, 7, 9, 13, 17, 25, 35, 51, 71, 101)
_WAVELET, _DEPTHS = "sym8", (2, 3, 4, 5, 6, 7, 8)
_THRESHOLDS = (0.5, 1.0, 2.0)
MAD = 1.4826
FAMILIES = {
    "EWMA": False,
    "Kalman level": False,
    "Kalman trend": False,
    "Hampel + EWMA": False,
    "PCA": False,
    "Savitzky-Golay": True,
    "BayesShrink": True,
    "RTS level": True,
    "RTS trend": True,
}
"""Names, and whether they look ahead."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """Filters that differ in their parameters.

    Attributes:
        name: for the table.
        grid: all parameters.
        apply: the noisy rows, a channel and parameters, to that channel without noise.
    """

    name: str
    grid: Grid
    apply: Callable[..., Column]

    def tuned(self, noisy: FloatArray, clean: FloatArray, channel: int) -> tuple[Any, ...]:
        """The parameters of least error on rows whose truth is known."""
        truth = clean[:, channel]
        errors = [
            float(np.mean((self.apply(noisy, channel, *one) - truth) ** 2)) for one in self.grid
        ]
        return self.grid[int(np.argmin(errors))]


def families(noisy: FloatArray) -> tuple[Family, ...]:
    """All baselines; the principal components are those of these (training) rows."""
    channels = noisy.shape[1]
    components = partial(_components, _Basis.of(noisy))
    smoothed = [(*one, True) for one in itertools.product(_LEVELS, _TRENDS) if any(one)]
    return (
        Family(name="EWMA", grid=[(a,) for a in _ALPHAS], apply=ewma),
        Family(
            name="Kalman level",
            grid=[(ratio, 0.0, False) for ratio in _RATIOS],
            apply=_kalman,
        ),
        Family(
            name="Kalman trend",
            grid=[(*one[:2], False) for one in smoothed],
            apply=_kalman,
        ),
        Family(
            name="Hampel + EWMA",
            grid=list(itertools.product((5, 9), (3.0, 5.0), _ALPHAS[2:])),
            apply=hampel,
        ),
        Family(
            name="PCA",
            grid=[(rank,) for rank in range(1, channels + 1)],
            apply=components,
        ),
        Family(
            name="Savitzky-Golay",
            grid=[(w, k) for w in _WINDOWS for k in (1, 2, 3) if k < w],
            apply=savitzky_golay,
        ),
        Family(
            name="BayesShrink",
            grid=list(itertools.product(_DEPTHS, _THRESHOLDS)),
            apply=bayes_shrink,
        ),
        Family(
            name="RTS level",
            grid=[(ratio, 0.0, True) for ratio in _RATIOS],
            apply=_kalman,
        ),
        Family(name="RTS trend", grid=smoothed, apply=_kalman),
    )


def carried(column: Column) -> Column:
    """The last value where one is missing; the first one before there was any."""
    known = np.isfinite(column)
    if known.all():
        return column
    if not known.any():
        return np.zeros_like(column)
    last = np.maximum.accumulate(np.where(known, np.arange(len(column)), 0))
    last[: np.argmax(known)] = np.argmax(known)
    filled: Column = column[last]
    return filled


def bridged(column: Column) -> Column:
    """Straight lines where values are missing."""
    known = np.isfinite(column)
    if known.all():
        return column
    if not known.any():
        return np.zeros_like(column)
    rows = np.arange(len(column))
    return np.interp(rows, rows[known], column[known])


def ewma(noisy: FloatArray, channel: int, alpha: float) -> Column:
    """Y += alpha (x - y); the steady state of the Kalman filter of a local level."""
    return _ewma(carried(noisy[:, channel]), alpha)


def _ewma(column: Column, alpha: float) -> Column:
    filtered: Column = lfilter([alpha], [1.0, alpha - 1.0], column, zi=[(1 - alpha) * column[0]])[0]
    return filtered


def _kalman(
    noisy: FloatArray,
    channel: int,
    level: float,
    trend: float,
    smooth: bool,  # noqa: FBT001
) -> Column:
    """Variances over that of the noise; a missing value is no update."""
    filtered: Column = kalman(np.ascontiguousarray(noisy[:, channel]), level, trend, smooth)
    return filtered


def hampel(noisy: FloatArray, channel: int, rows: int, deviations: float, alpha: float) -> Column:
    """Medians instead of rows far from them (Davies and Gather 1993), then an EWMA."""
    column = carried(noisy[:, channel])
    return _ewma(_despiked(column.tobytes(), rows, deviations), alpha)


@lru_cache(maxsize=4)
def _despiked(numbers: bytes, rows: int, deviations: float) -> Column:
    """Many EWMAs are tried behind it."""
    column = np.frombuffer(numbers)
    padded = np.concatenate([np.full(rows - 1, column[0]), column])
    windows = np.lib.stride_tricks.sliding_window_view(padded, rows)
    middle = np.median(windows, axis=1)
    usual = MAD * np.median(np.abs(windows - middle[:, None]), axis=1)
    despiked: Column = np.where(np.abs(column - middle) > deviations * usual, middle, column)
    return despiked


def savitzky_golay(noisy: FloatArray, channel: int, window: int, order: int) -> Column:
    """Savitzky and Golay 1964."""
    smoothed: Column = savgol_filter(bridged(noisy[:, channel]), window, order)
    return smoothed


def bayes_shrink(noisy: FloatArray, channel: int, depth: int, factor: float) -> Column:
    """Soft thresholds R / deviation of the signal in each band (Chang, Yu and Vetterli 2000)."""
    import pywt  # of the group `bench`

    column = bridged(noisy[:, channel])
    depth = min(depth, pywt.dwt_max_level(len(column), pywt.Wavelet(_WAVELET).dec_len))
    coarse, *bands = pywt.wavedec(column, _WAVELET, mode="symmetric", level=depth)
    noise = MAD * np.median(np.abs(bands[-1]))
    shrunk = []
    for band in bands:
        own = np.sqrt(max(float(np.mean(band**2) - noise**2), 0.0))
        limit = factor * noise**2 / own if own > 0 else float(np.abs(band).max())
        shrunk.append(pywt.threshold(band, limit, mode="soft"))
    whole: Column = pywt.waverec([coarse, *shrunk], _WAVELET, mode="symmetric")[: len(column)]
    return whole


@dataclass(frozen=True, kw_only=True)
class _Basis:
    middle: FloatArray
    scale: FloatArray
    axes: FloatArray

    @classmethod
    def of(cls, noisy: FloatArray) -> _Basis:
        rows = np.stack([carried(column) for column in noisy.T], axis=1)
        scale = np.maximum(rows.std(axis=0), 1e-12)
        middle = rows.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov(((rows - middle) / scale).T))
        return cls(middle=middle, scale=scale, axes=axes[:, ::-1])


def _components(basis: _Basis, noisy: FloatArray, channel: int, rank: int) -> Column:
    """Each row on the first components, scaled channels."""
    rows = np.stack([carried(column) for column in noisy.T], axis=1)
    axes = basis.axes[:, :rank]
    shares = ((rows - basis.middle) / basis.scale) @ (axes @ axes[channel])
    column: Column = basis.middle[channel] + basis.scale[channel] * shares
    return column
