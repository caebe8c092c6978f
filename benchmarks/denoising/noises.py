"""What is added to a clean signal, by kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from benchmarks.denoising.signals import Signal

FloatArray = npt.NDArray[np.float64]

WHITE_DB = (0, 5, 10, 20)
OTHERS = ("coloured", "impulsive", "quantised", "dithered", "drop-outs")
INSTRUMENTS, CLEAN = "instruments", "clean"
_AROUND_DB = 10.0
_AR = 0.7
_IMPULSES, _IMPULSE_DEVIATIONS = 0.01, 8.0
_STEP_DEVIATIONS = 0.5
_LOST = 0.05


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A noisy record.

    Attributes:
        signal: with its truth.
        kind: name of the noise; the signal-to-noise ratio in dB for a white one.
        rows: noisy, NaN = missing, [n, C].
        white: variance of each channel's white noise; None: it is not only white.
    """

    signal: Signal
    kind: str
    rows: FloatArray
    white: FloatArray | None = None


def kinds(signal: Signal) -> tuple[str, ...]:
    """What a signal is tried with."""
    own = () if signal.noisy is None else (INSTRUMENTS,)
    return (*(f"{level} dB" for level in WHITE_DB), CLEAN, *own, *OTHERS)


def trial(signal: Signal, kind: str, seed: int) -> Trial:  # noqa: PLR0911 (one for each kind)
    """The signal with one kind of noise on its measured channels.

    Sizes are relative to each channel's deviation in the training part.
    """
    generator = np.random.default_rng([seed, kinds(signal).index(kind)])
    clean, deviation = signal.clean, np.zeros(signal.clean.shape[1])
    deviation[signal.channels] = signal.deviation[signal.channels]
    drawn = generator.standard_normal(clean.shape)
    size = deviation * 10 ** (-_AROUND_DB / 20)
    if kind == CLEAN:
        return Trial(signal=signal, kind=kind, rows=_or(signal.measured, clean))
    if kind == INSTRUMENTS:
        white = (_or(signal.noisy, clean) - clean).var(axis=0)
        return Trial(signal=signal, kind=kind, rows=_or(signal.noisy, clean), white=white)
    if kind.endswith(" dB"):
        size = deviation * 10 ** (-float(kind.removesuffix(" dB")) / 20)
        return Trial(signal=signal, kind=kind, rows=clean + size * drawn, white=size**2)
    if kind == "coloured":
        own = lfilter([np.sqrt(1 - _AR**2)], [1.0, -_AR], drawn, axis=0)
        return Trial(signal=signal, kind=kind, rows=clean + size * own)
    if kind == "impulsive":
        leaps = (generator.random(clean.shape) < _IMPULSES) * _IMPULSE_DEVIATIONS * deviation
        signs = generator.choice([-1.0, 1.0], clean.shape)
        return Trial(signal=signal, kind=kind, rows=clean + size * drawn + leaps * signs)
    if kind in {"quantised", "dithered"}:
        step = np.where(deviation > 0, _STEP_DEVIATIONS * deviation, 1.0)
        dither = (generator.random(clean.shape) - 0.5) * step if kind == "dithered" else 0.0
        rounded = np.rint((clean + dither) / step) * step
        return Trial(signal=signal, kind=kind, rows=np.where(deviation > 0, rounded, clean))
    if kind == "drop-outs":
        lost = (generator.random(clean.shape) < _LOST) & (deviation > 0)
        rows = np.where(lost, np.nan, clean + size * drawn)
        return Trial(signal=signal, kind=kind, rows=rows)
    raise ValueError(f"no such noise: {kind}")


def _or(rows: FloatArray | None, clean: FloatArray) -> FloatArray:
    return clean if rows is None else rows
