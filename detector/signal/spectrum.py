"""What a channel's spectrum says: how much of it is white noise, and how well it can be cleaned."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

SEGMENT = 64
"""Rows of a segment of the spectrum that the noise is read from."""
_LOWEST_BIN = 4
_POWERS = 3
_ROUNDS = 3
_LONG_SEGMENT = 4096
LEAST_SEGMENTS = 8
_MOST_MISSING = 0.2
_MAX_SEGMENTS = 2048
_LEAST_FLOOR = 0.05
_LEAST_SURE = 4.0
"""Standard errors of a floor."""
_SUBSETS = [
    subset
    for size in range(1, _POWERS + 2)
    for subset in itertools.combinations(range(_POWERS + 1), size)
]

Rows = Float64[np.ndarray, "rows channels"]
Channels = Float64[np.ndarray, " channels"]


@dataclass(frozen=True, kw_only=True)
class WhiteNoise:
    """The white part of each channel, and the rest of its spectrum near it.

    Attributes:
        variance: of the white noise, in the square of the readings' unit; 0 where the spectrum has
            no floor.
        slope: A_1..A_3 of the signal's part A_k / (4 sin^2 w/2)^k.
    """

    variance: Channels
    slope: Float64[np.ndarray, "powers channels"]


@dataclass(frozen=True, kw_only=True)
class WienerBound:
    """What no linear filter of one channel can beat, from its spectrum S and white noise R.

    Attributes:
        causal: least error variance without delay, R (1 - exp(-1/2pi int ln(1 + S/R) dw))
            (Yovits and Jackson 1955).
        smoother: with the whole future known, 1/2pi int S R / (S + R) dw (Wiener 1949).
    """

    causal: Channels
    smoother: Channels


def white_noise(pieces: Sequence[Rows]) -> WhiteNoise:
    """Split each channel's spectrum into a white floor and what rises from it towards low bins.

    Differences of neighbouring rows cannot tell white noise from a signal that wanders; their
    spectra can: the first is flat, the second falls with the square of the frequency (a random
    walk) or faster. R + A_1 / s + A_2 / s^2 + A_3 / s^3 with s = 4 sin^2(w/2) and no negative part
    is fitted to the periodogram, relative errors counting alike. The periodogram is the median
    over segments, so that steps and spikes in some of them do not count.

    What it cannot see: noise that is correlated in time counts as signal, a signal that is white
    counts as noise.

    Args:
        pieces: consecutive readings, of any unit, NaN = missing; between pieces is a gap.

    Returns:
        No noise for a channel with fewer than eight segments of 64 rows, overlapping by half.
    """
    size, channels = SEGMENT, pieces[0].shape[1]
    bins = np.arange(_LOWEST_BIN, size // 2)
    spectra = [_spectrum([piece[:, one] for piece in pieces], size) for one in range(channels)]
    # Of an exponential distribution the median is ln 2 times the mean.
    power = np.stack(
        [np.zeros(size // 2 + 1) if one is None else np.median(one, axis=0) for one in spectra]
    ) / np.log(2)
    known = np.flatnonzero((power[:, bins] > 0).all(axis=1))
    parts = np.zeros((channels, _POWERS + 1))
    if len(known):
        parts[known] = _fitted(power[known][:, bins], _bases(bins, size))
    return WhiteNoise(variance=parts[:, 0], slope=parts[:, 1:].T)


def wiener_bound(pieces: Sequence[Rows], noise: WhiteNoise) -> WienerBound:
    """The least error variance of a linear filter of one channel, from the noisy channel alone.

    Near the floor, where the spectrum's own uncertainty is larger than what it shows, the fitted
    slope stands for it.

    Args:
        pieces: consecutive readings, of any unit, NaN = missing; between pieces is a gap.
        noise: as `white_noise` found it.
    """
    causal, smoother = noise.variance.copy(), noise.variance.copy()
    for channel in np.flatnonzero(noise.variance > 0):
        variance, size, spectrum = noise.variance[channel], _LONG_SEGMENT, None
        while spectrum is None and size >= SEGMENT:
            spectrum = _spectrum([piece[:, channel] for piece in pieces], size)
            size = size if spectrum is not None else size // 2
        if spectrum is None:
            continue
        bins = np.arange(1, size // 2 + 1)
        model = _bases(bins, size)[:, 1:] @ noise.slope[:, channel]
        measured = np.maximum(spectrum.mean(axis=0)[1:] - variance, 0.0)
        high = bins >= _LOWEST_BIN * size // SEGMENT
        ratio = np.where(high, model, measured) / variance
        causal[channel] = variance * -np.expm1(-np.log1p(ratio).mean())
        smoother[channel] = variance * float((ratio / (1 + ratio)).mean())
    return WienerBound(causal=causal, smoother=smoother)


def _bases(bins: Int64[np.ndarray, " bins"], size: int) -> Float64[np.ndarray, "bins powers"]:
    rise = 4 * np.sin(np.pi * bins / size) ** 2
    return np.stack([rise**-power for power in range(_POWERS + 1)], axis=1)


def _spectrum(
    pieces: Sequence[Float64[np.ndarray, " rows"]], size: int
) -> Float64[np.ndarray, "segments bins"] | None:
    """Power by bin of half-overlapping Hann segments without their trend; None: too few."""
    long = [piece for piece in pieces if len(piece) >= size]
    if not long:
        return None
    cut = [np.lib.stride_tricks.sliding_window_view(piece, size)[:: size // 2] for piece in long]
    every = np.concatenate(cut)
    every = every[:: -(-len(every) // _MAX_SEGMENTS)]
    segments = every[np.isnan(every).mean(axis=1) <= _MOST_MISSING]
    if len(segments) < LEAST_SEGMENTS:
        return None
    _bridge(segments)
    place = np.arange(size) - (size - 1) / 2
    segments -= segments.mean(axis=1, keepdims=True)
    segments -= (segments @ place)[:, None] * place / (place @ place)
    taper = np.hanning(size + 1)[:-1]
    power: Float64[np.ndarray, "segments bins"]
    power = np.abs(np.fft.rfft(segments * taper, axis=1)) ** 2 / (taper @ taper)
    return power


def _bridge(segments: Float64[np.ndarray, "segments rows"]) -> None:
    """Put straight lines where values are missing, in place."""
    rows = np.arange(segments.shape[1])
    for place in np.flatnonzero(np.isnan(segments).any(axis=1)):
        segment = segments[place]
        lost = np.isnan(segment)
        segment[lost] = np.interp(rows[lost], rows[~lost], segment[~lost])


def _fitted(
    power: Float64[np.ndarray, "channels bins"], bases: Float64[np.ndarray, "bins powers"]
) -> Float64[np.ndarray, "channels powers"]:
    """Non-negative parts of each spectrum: of all subsets of bases, the one that fits best.

    Least squares of relative errors, whose denominator is the fit of the round before.
    """
    level = power
    parts = np.zeros((len(power), bases.shape[1]))
    for _ in range(_ROUNDS):
        least = np.full(len(power), np.inf)
        scaled = bases[None] / level[:, :, None]
        target = power / level
        for subset in _SUBSETS:
            design = scaled[:, :, subset]
            gram = np.einsum("nbi,nbj->nij", design, design)
            moment = np.einsum("nbi,nb->ni", design, target)
            found = np.linalg.solve(
                gram
                + 1e-12 * np.eye(len(subset)) * np.trace(gram, axis1=1, axis2=2)[:, None, None],
                moment[:, :, None],
            )[:, :, 0]
            error = np.square(np.einsum("nbi,ni->nb", design, found) - target).sum(axis=1)
            better = (found >= 0).all(axis=1) & (error < least)
            least[better] = error[better]
            parts[better] = 0.0
            for place, power_of in enumerate(subset):
                parts[better, power_of] = found[better, place]
        level = np.maximum(parts @ bases.T, 1e-9 * power)
    # A floor far below the rest of the spectrum, or within its own error, is one of the fit.
    unsure = parts[:, 0] < _LEAST_SURE * _floor_error(power, parts, bases)
    parts[unsure | (parts[:, 0] < _LEAST_FLOOR * level[:, -1]), 0] = 0.0
    return parts


def _floor_error(
    power: Float64[np.ndarray, "channels bins"],
    parts: Float64[np.ndarray, "channels powers"],
    bases: Float64[np.ndarray, "bins powers"],
) -> Channels:
    """Standard error of each floor, from what the fit leaves."""
    error = np.zeros(len(power))
    for channel in np.flatnonzero(parts[:, 0] > 0):
        used = parts[channel] > 0
        level = bases @ parts[channel]
        scaled = bases[:, used] / level[:, None]
        left = np.square(power[channel] / level - 1).sum() / (len(bases) - used.sum())
        error[channel] = np.sqrt(left * np.linalg.inv(scaled.T @ scaled)[0, 0])
    return error
