"""Fits a season to a history that nobody has cleaned, and keeps it where it proves itself.

Per group and channel: a regression on harmonics of the week, beside a trend with a knot a week that
is thrown away afterwards (a mean that drifts is no rhythm). Rows are averaged over a quarter of an
hour first, so a fast sensor costs no more than a slow one; gaps and missing values are left out.

* **Faults:** residuals are cut at two robust standard deviations and the fit is repeated (Huber).
* **Noise:** what lies between the harmonics of the spectrum tells how large one would be by chance.
  Each loses twice that share of its power (the garrote), all of it where there is no rhythm: first
  those that all days have in common, then what sets a weekend apart, then what is left.
* **Proof:** fitted on two thirds of the time, it has to remove a tenth of the variance of the third
  held back, in the mean of the three, and add to none of them; and day types have to make up half
  of it. Else the channel has no season.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64
from numpy.typing import NDArray

from detector.signal.season import WEEK_NS, Season

LEAST_WEEKS = 3.0
LEAST_REMOVED = 0.1
LEAST_SHARED = 0.5
HARMONICS = 84
"""Cycles per week at most: a day's twelve and all between, so that no two days need be alike."""
MOST_WEEKS = 26
"""The newest of a longer history: a rhythm changes with the seasons of the year."""

_BIN_NS = 900 * 10**9
_BINS = WEEK_NS // _BIN_NS
_CUT_ROW = 10.0
_CUT = 2.0
_ROUNDS = 8
_RIDGE = 1.0
_GARROTE = 2.0
_BETWEEN = (0.25, 0.5, 0.75)
_NEIGHBOURS = 4
_MOST_SENSORS = 200
_POOLED_SHARE = 0.75

_HOURS = range(0, _BINS, 4)

Pair = Float64[np.ndarray, "2 harmonics channels"]
"""Cosines and sines."""
Waves = Float64[np.ndarray, "waves channels"]
"""Cosines of the harmonics, then sines."""


@dataclass(frozen=True, kw_only=True)
class _Binned:
    """A sensor's rows, averaged.

    Attributes:
        weeks: since some beginning of a week.
        values: NaN where nothing was measured.
    """

    weeks: Float64[np.ndarray, " bins"]
    values: Float64[np.ndarray, "bins channels"]

    def where(self, mask: Bool[np.ndarray, " bins"]) -> "_Binned":
        return _Binned(weeks=self.weeks[mask], values=self.values[mask])

    def only(self, channels: Bool[np.ndarray, " channels"]) -> "_Binned":
        return _Binned(weeks=self.weeks, values=self.values[:, channels])


def fit_season(
    rows: Float64[np.ndarray, "rows channels"],
    times_ns: Int64[np.ndarray, " rows"],
    groups: Int[np.ndarray, " rows"],
    *,
    n_groups: int,
) -> Season:
    """Fit the season of each group; of the pooled group, what its sensors have in common.

    Args:
        rows: scaled units, NaN = missing; the rows of one group are those of one sensor.
        times_ns: event time of each, UTC.
        groups: 1 and more; rows of group 0, of sensors without a group of their own, are left out.
        n_groups: calibration groups, the pooled one included.

    Returns:
        A season with nothing kept where it is not proved, or less than three weeks are spanned.
    """
    n_channels = rows.shape[1]
    waves = np.zeros((n_groups, 2 * HARMONICS, n_channels))
    binned = []
    for group in range(1, n_groups):
        own = groups == group
        binned.append(_bins(rows[own], times_ns[own]))
        waves[group] = _proved(binned[-1], binned[-1:])
    if len(binned) == 1:
        waves[0] = waves[1]
    elif binned:
        some = binned[:: -(-len(binned) // _MOST_SENSORS)]
        waves[0] = _proved(_common(some), some)
    if not waves.any():
        return Season.none(n_groups, n_channels)
    cosine, sine = np.split(np.ascontiguousarray(waves.transpose(0, 2, 1)), 2, axis=2)
    harmonics = np.arange(1, HARMONICS + 1, dtype=np.int64)
    return Season(harmonics=harmonics, cosine=cosine, sine=sine)


def _bins(
    rows: Float64[np.ndarray, "rows channels"], times_ns: Int64[np.ndarray, " rows"]
) -> _Binned:
    """Averages over quarters of an hour, outliers cut."""
    n_channels = rows.shape[1]
    if len(rows):
        recent = times_ns > times_ns.max() - MOST_WEEKS * WEEK_NS
        rows, times_ns = rows[recent], times_ns[recent]
    else:
        return _Binned(weeks=np.zeros(0), values=np.zeros((0, n_channels)))
    began = int(times_ns.min()) // WEEK_NS * WEEK_NS
    number = (times_ns - began) // _BIN_NS
    count = np.bincount(number)
    weeks = np.bincount(number, (times_ns - began) / WEEK_NS) / np.maximum(count, 1)
    values = np.full((len(count), n_channels), np.nan)
    for channel, column in enumerate(rows.T):
        good = np.isfinite(column)
        cut = np.clip(column[good], -_CUT_ROW, _CUT_ROW)
        measured = np.bincount(number[good], minlength=len(count))
        total = np.bincount(number[good], cut, minlength=len(count))
        np.divide(total, measured, out=values[:, channel], where=measured > 0)
    return _Binned(weeks=weeks[count > 0], values=values[count > 0])


def _common(sensors: Sequence[_Binned]) -> _Binned:
    """The median over sensors, each around its own level.

    Sensors need not have been recorded at the same time: the first week of each is laid on one.
    """
    n_channels = sensors[0].values.shape[1]
    laid = np.full((len(sensors), (MOST_WEEKS + 1) * _BINS + 1, n_channels), np.nan, np.float32)
    for nth, one in enumerate(sensors):
        for channel, column in enumerate(one.values.T):
            good = np.isfinite(column)
            if good.any():
                at = (one.weeks[good] * _BINS).astype(np.int64)
                laid[nth, at, channel] = column[good] - np.median(column[good])
    some = np.isfinite(laid).any(axis=(0, 2))
    laid = np.sort(laid[:, some], axis=0)  # NaN goes last
    count = np.isfinite(laid).sum(axis=0)
    low, high = (np.maximum(count - 1, 0) // 2, count // 2)
    pick = [
        np.take_along_axis(laid, np.minimum(at, len(laid) - 1)[None], 0)[0] for at in (low, high)
    ]
    middle = np.where(count > 0, (pick[0] + pick[1]) / 2, np.nan)
    return _Binned(weeks=(np.flatnonzero(some) + 0.5) / _BINS, values=middle.astype(np.float64))


def _proved(one: _Binned, sensors: Sequence[_Binned]) -> Waves:
    """The waves of the channels that keep a season; zeros of the others.

    Args:
        one: what is fitted.
        sensors: what it has to prove itself on: on three quarters of them.
    """
    n_channels = one.values.shape[1]
    waves = np.zeros((2 * HARMONICS, n_channels))
    if len(one.weeks) == 0 or np.ptp(one.weeks) < LEAST_WEEKS - 1.5 / _BINS:
        return waves
    borders = one.weeks[0] + np.ptp(one.weeks) * np.arange(4) / 3
    borders[-1] = np.inf
    removed = np.full((3, len(sensors), n_channels), -np.inf)
    for third, (start, stop) in enumerate(pairwise(borders.tolist())):
        fitted = _fit(one.where((one.weeks < start) | (one.weeks >= stop)))
        for nth, sensor in enumerate(sensors):
            held = sensor.where((sensor.weeks >= start) & (sensor.weeks < stop))
            removed[third, nth] = _removed(held, fitted)
    proved = (removed.mean(axis=0) >= LEAST_REMOVED) & (removed >= 0).all(axis=0)
    kept = proved.mean(axis=0) >= _POOLED_SHARE
    if kept.any():
        waves[:, kept] = _of_the_calendar(_fit(one.only(kept)))
    return waves


def _of_the_calendar(waves: Waves) -> Waves:
    """Only the channels in which days share most of it; zeros of the others.

    A cycle of 33 hours is five a week for some weeks, and out of step soon after.
    """
    pair = waves.reshape(2, HARMONICS, -1)
    days = _day_types(pair, np.full(pair.shape[1:], 1e-12))
    is_shared = (days**2).sum(axis=(0, 1)) >= LEAST_SHARED * (pair**2).sum(axis=(0, 1))
    return np.where(is_shared, waves, 0.0)


def _angles(
    weeks: Float64[np.ndarray, " bins"], cycles: Float64[np.ndarray, " cycles"]
) -> Float64[np.ndarray, "bins waves"]:
    """Cosines of all cycles, then sines."""
    angle = 2.0 * np.pi * weeks[:, None] * cycles
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


def _trend(weeks: Float64[np.ndarray, " bins"]) -> Float64[np.ndarray, "bins knots"]:
    """Hats: straight lines from knot to knot, about a week apart."""
    span = max(float(np.ptp(weeks)), 1e-9)
    pieces = max(round(span), 1)
    place = (weeks - weeks.min()) / span * pieces
    hats: Float64[np.ndarray, "bins knots"] = np.maximum(
        1.0 - np.abs(place[:, None] - np.arange(pieces + 1)), 0.0
    )
    return hats


def _fit(one: _Binned) -> Waves:
    """The waves of each channel, shrunk; zeros where there is too little."""
    waves = np.zeros((2, HARMONICS, one.values.shape[1]))
    good = np.isfinite(one.values)
    masks, which = np.unique(good, axis=1, return_inverse=True)
    for nth, mask in enumerate(masks.T):
        # No harmonic faster than a quarter of what is measured.
        top = min(HARMONICS, int(mask.sum() / max(float(np.ptp(one.weeks)), 1.0)) // 4)
        if top and mask.sum() >= 4 * top:
            channels = which.ravel() == nth
            waves[:, :top, channels] = _fitted(one.weeks[mask], one.values[mask][:, channels], top)
    return waves.reshape(2 * HARMONICS, -1)


def _fitted(
    weeks: Float64[np.ndarray, " bins"], values: Float64[np.ndarray, "bins channels"], top: int
) -> Pair:
    """The waves of some channels that were measured at the same times."""
    cycles = np.arange(1, top + 1.0)
    design = np.concatenate([_angles(weeks, cycles), _trend(weeks)], axis=1)
    penalty = np.full(design.shape[1], 1e-6)
    penalty[: 2 * top] = _RIDGE
    solve = np.linalg.solve(design.T @ design + np.diag(penalty), design.T)
    level, spread = _centre(values)
    target = np.clip(values, level - 2 * _CUT * spread, level + 2 * _CUT * spread)
    for _ in range(_ROUNDS):
        found = solve @ target
        line = design @ found
        spread = _centre(values - line)[1]
        left = np.clip(values - line, -_CUT * spread, _CUT * spread)
        target = line + left
    return _shrunk(found[: 2 * top].reshape(2, top, -1), _noise(weeks, left, top))


def _shrunk(pair: Pair, noise: Float64[np.ndarray, "harmonics channels"]) -> Pair:
    """Day types, and of what differs from them that which stands out of the noise."""
    days = _day_types(pair, noise)
    shrunk: Pair = days + _garrote(pair - days, noise)
    return shrunk


def _garrote(pair: Pair, noise: Float64[np.ndarray, "harmonics channels"]) -> Pair:
    power = (pair**2).sum(axis=0)
    left: Pair = pair * np.maximum(1.0 - _GARROTE * noise / np.maximum(power, 1e-30), 0.0)
    return left


def _day_types(pair: Pair, noise: Float64[np.ndarray, "harmonics channels"]) -> Pair:
    """What is common to all days, and what sets one day, or two in a row, apart from the others.

    A weekend has to be estimated from a seventh of the numbers that seven different days have. It
    begins at whatever hour sets it apart best over all channels: midnight somewhere, in UTC.
    """
    top, n_channels = noise.shape
    days = np.zeros_like(pair)
    each = slice(6, None, 7)  # harmonics of the day
    if top < 7:  # noqa: PLR2004 - not one a day
        return days
    days[:, each] = _garrote(pair[:, each], noise[each])
    other = pair.copy()
    other[:, each] = 0.0
    waves = _angles(np.arange(_BINS) / _BINS, np.arange(1, top + 1.0))
    week = waves @ other.reshape(2 * top, -1)
    apart = max(
        (_Apart.of(week, noise, begins, length) for length in (1, 2) for begins in _HOURS),
        key=lambda apart: apart.gain,
    )
    season = waves.T @ apart.shrunk(noise) * (2.0 / _BINS)
    days += season.reshape(2, top, n_channels)
    return days


@dataclass(frozen=True, kw_only=True)
class _Apart:
    """Days that differ from the others.

    Attributes:
        begins, length: bin of the week; days.
        contrast: these days less the others, by bin of the day.
        gain: variance that they explain, in units of the noise, over all channels.
    """

    begins: int
    length: int
    contrast: Float64[np.ndarray, "day channels"]
    gain: float

    @classmethod
    def of(
        cls,
        week: Float64[np.ndarray, "bins channels"],
        noise: Float64[np.ndarray, "harmonics channels"],
        begins: int,
        length: int,
    ) -> "_Apart":
        rolled = np.roll(week, -begins, axis=0).reshape(7, -1, week.shape[1])
        contrast = rolled[:length].mean(axis=0) - rolled[length:].mean(axis=0)
        explained = (contrast**2).mean(axis=0) * length * (7 - length) / 49.0
        gain = float((explained / (noise.mean(axis=0) + 1e-12)).sum())
        return cls(begins=begins, length=length, contrast=contrast, gain=gain)

    def shrunk(
        self, noise: Float64[np.ndarray, "harmonics channels"]
    ) -> Float64[np.ndarray, "bins channels"]:
        """Their part of the week, without what is noise."""
        bins, n_channels = self.contrast.shape
        lines = np.fft.rfft(self.contrast, axis=0) / bins
        lines[1:] *= 2.0
        known = min(len(noise) // 7, len(lines) - 1)
        lines[known + 1 :] = 0.0
        # Fewer days tell of it than of a harmonic of the week.
        by_chance = np.concatenate([noise[:3].mean(axis=0)[None] / 4.0, noise[6 : 7 * known : 7]])
        by_chance = by_chance * 49.0 / (self.length * (7 - self.length))
        parts = lines[: known + 1]
        cosine, sine = _garrote(np.stack([parts.real, parts.imag]), by_chance)
        lines[: known + 1] = cosine + 1j * sine
        lines[1:] /= 2.0
        contrast = np.fft.irfft(lines * bins, bins, axis=0)
        weight = np.where(np.arange(7) < self.length, 1.0, 0.0) - self.length / 7.0
        rolled = (weight[:, None, None] * contrast).reshape(_BINS, n_channels)
        return np.roll(rolled, self.begins, axis=0)


def _noise(
    weeks: Float64[np.ndarray, " bins"], left: Float64[np.ndarray, "bins channels"], top: int
) -> Float64[np.ndarray, "harmonics channels"]:
    """The power that each harmonic would have by chance: that of the spectrum on both its sides."""
    cycles = (np.arange(top + 1)[:, None] + np.array(_BETWEEN)).ravel()
    waves = (_angles(weeks, cycles).T @ left) * (2.0 / len(left))
    gaps = (waves**2).reshape(2, top + 1, len(_BETWEEN), -1).sum(axis=0).mean(axis=1)
    so_far = np.concatenate([np.zeros((1, gaps.shape[1])), np.cumsum(gaps, axis=0)])
    first = np.maximum(np.arange(1, top + 1) - _NEIGHBOURS, 0)
    after = np.minimum(np.arange(1, top + 1) + _NEIGHBOURS, top + 1)
    noise: Float64[np.ndarray, "harmonics channels"] = (so_far[after] - so_far[first]) / (
        after - first
    )[:, None]
    return noise


def _removed(held: _Binned, waves: Waves) -> Float64[np.ndarray, " channels"]:
    """Share of the variance around a straight line that the season takes off; outliers are cut."""
    removed = np.full(held.values.shape[1], -np.inf)
    season = _angles(held.weeks, np.arange(1, HARMONICS + 1.0)) @ waves
    for channel, column in enumerate(held.values.T):
        good = np.isfinite(column)
        if good.sum() < 2 * _NEIGHBOURS:
            continue
        before = _variance(held.weeks[good], column[good])
        after = _variance(held.weeks[good], (column - season[:, channel])[good])
        removed[channel] = 1.0 - after / before if before > 0 else -np.inf
    return removed


def _variance(weeks: Float64[np.ndarray, " n"], values: Float64[np.ndarray, " n"]) -> float:
    level, spread = _centre(values)
    cut = np.clip(values, level - 2 * _CUT * spread, level + 2 * _CUT * spread)
    away = weeks - weeks.mean()
    cut = cut - cut.mean()
    return float(np.mean((cut - away * (away @ cut) / max(away @ away, 1e-12)) ** 2))


def _centre(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and robust standard deviation over the first axis."""
    level = np.median(values, axis=0)
    return level, 1.4826 * np.median(np.abs(values - level), axis=0)
