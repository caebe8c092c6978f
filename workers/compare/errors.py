"""How far reconstructions are from the readings, and what they are worth as cleaned readings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from detector.signal.series import runs, thin, window_ends
from detector.views.reconstruction import ReconstructionView

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_WINDOWS = 20_000
"""Of one sensor; more are thinned evenly."""
_LEAK_WINDOWS = 1_024
_BATCH = 1_024
_LEAST_ERROR = 0.01
"""An error below a hundredth of the noise is not measurable through the noise: 20 dB at most."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Consecutive rows of one sensor, and what is known of them.

    Attributes:
        rows: channel units, NaN = missing, [n, C].
        ts_ns: their times, increasing, [n].
        group: calibration group of the sensor.
        sigma: noise level of each channel, channel units, [C].
        truth: the rows without noise, where they are known (simulations), [n, C].
    """

    rows: FloatArray
    ts_ns: IntArray
    group: int
    sigma: FloatArray
    truth: FloatArray | None = None


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Mean squares by channel in scaled units: one is the usual spread of the training, [C] each.

    Attributes:
        windows: how many were reconstructed.
        whole: squared error over all readings of the windows.
        newest: of their newest reading alone, the one that is published.
        power: squared distance of the readings from their mean.
        noise: variance of the readings' noise.
        leak: share of its own noise that the newest reading passes to its reconstruction.
    """

    windows: int
    whole: FloatArray
    newest: FloatArray
    power: FloatArray
    noise: FloatArray
    leak: FloatArray

    @property
    def rms(self) -> float:
        """Root of the mean squared error over all values, in usual spreads."""
        return float(np.sqrt(self.whole.mean()))

    @property
    def unexplained(self) -> float:
        """Share of the readings' variance that the reconstructions lack; 0 of what never moves."""
        power = float(self.power.sum())
        return float(self.whole.sum()) / power if power else 0.0

    @property
    def noise_levels(self) -> FloatArray:
        """Root mean squared error of each channel in its noise levels; NaN without noise."""
        ratio = np.full(len(self.whole), np.nan)
        np.divide(self.whole, self.noise, out=ratio, where=self.noise > 0)
        levels: FloatArray = np.sqrt(ratio)
        return levels


def errors_of(view: ReconstructionView, parts: Sequence[Part], *, max_gap_s: float) -> Errors:
    """Reconstruct the windows of some rows, and measure them against what was read, or the truth.

    Args:
        view: the autoencoder and its scaler.
        parts: at least one with a window.
        max_gap_s: no window reaches over a longer gap.

    Raises:
        ValueError: no part has a window.
    """
    found = [one for part in parts if (one := _errors(view, part, max_gap_s)) is not None]
    if not found:
        raise ValueError(
            f"no window of {view.receptive_field} readings without a gap is held out: a longer "
            "history, a larger share, or a smaller receptive field"
        )
    weight = np.array([one.windows for one in found], dtype=np.float64)

    def mean(name: str) -> FloatArray:
        values: FloatArray = np.average(
            [getattr(one, name) for one in found], axis=0, weights=weight
        )
        return values

    return Errors(
        windows=int(weight.sum()),
        **{name: mean(name) for name in ("whole", "newest", "power", "noise", "leak")},
    )


@dataclass(frozen=True, kw_only=True)
class Denoising:
    """What a reconstruction gains over the reading itself, in dB of noise power, by channel.

    Without clean values: where noise is white, a reconstruction f of the newest reading x = s + n
    that takes a share l of n has E(f - s)^2 = E(f - x)^2 - sigma^2 (1 - 2 l). With a blind spot
    (l = 0) that is e^2 = E(f - x)^2 - sigma^2.

    Attributes:
        reconstruction: gain of f alone; below 0 dB it is farther from the truth than the reading.
        blended: of x + w (f - x), with the w that is best on training's last block; NaN where a
            channel has no noise (as in `reconstruction`).
    """

    reconstruction: FloatArray
    blended: FloatArray

    @staticmethod
    def overall(gains: FloatArray) -> float:
        """Mean over the channels that have noise; NaN if none has."""
        known = gains[np.isfinite(gains)]
        return float(known.mean()) if len(known) else float("nan")


def denoising_of(held_out: Errors, calibration: Errors) -> Denoising:
    """What reconstructions gain on held-out time.

    Args:
        held_out: errors against the readings.
        calibration: the same on time before, which the model has not learned from.
    """
    noise, own = held_out.noise, 1.0 - held_out.leak
    error = held_out.newest - noise * (1.0 - 2.0 * held_out.leak)
    useful = calibration.noise * np.clip(1.0 - calibration.leak, 0.0, 1.0)
    weight = np.divide(
        useful, calibration.newest, out=np.zeros_like(useful), where=calibration.newest > 0
    ).clip(0.0, 1.0)
    blended = noise - 2.0 * weight * noise * own + weight**2 * held_out.newest
    return Denoising(reconstruction=_gain(noise, error), blended=_gain(noise, blended))


def _gain(noise: FloatArray, error: FloatArray) -> FloatArray:
    gain = np.full(len(noise), np.nan)
    there = noise > 0
    gain[there] = -10.0 * np.log10(np.maximum(error[there] / noise[there], _LEAST_ERROR))
    return gain


def _errors(view: ReconstructionView, part: Part, max_gap_s: float) -> Errors | None:
    segments = runs(part.ts_ns, max(round(max_gap_s * 1e9), 1))
    ends = thin(window_ends(segments, view.receptive_field), MAX_WINDOWS)
    if not len(ends):
        return None
    channels = part.rows.shape[1]
    total, newest, count, last = (np.zeros(channels) for _ in range(4))
    for difference, measured in _differences(view, part, ends):
        squared = difference**2 * measured
        total += squared.sum((0, 1))
        newest += squared[:, -1].sum(0)
        count += measured.sum((0, 1))
        last += measured[:, -1].sum(0)
    scaled = view.scaler.apply(part.rows, np.array(part.group))
    known = np.isfinite(scaled)
    values = np.where(known, scaled, 0.0)
    present = np.maximum(known.sum(0), 1)
    power = np.where(known, values - values.sum(0) / present, 0.0) ** 2
    prepared = view.prepare(part.rows, np.array(part.group))
    leak = view.leak(prepared, torch.from_numpy(thin(ends, _LEAK_WINDOWS)))
    return Errors(
        windows=len(ends),
        whole=total / np.maximum(count, 1),
        newest=newest / np.maximum(last, 1),
        power=power.sum(0) / present,
        noise=(part.sigma / view.scaler.scale[part.group]) ** 2,
        leak=leak,
    )


@torch.inference_mode()
def _differences(
    view: ReconstructionView, part: Part, ends: IntArray
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Readings (or truth) less reconstruction, scaled, [b, R, C], and 1.0 where one is there."""
    group = np.array(part.group)
    prepared = view.prepare(part.rows, group)
    truth = None if part.truth is None else view.prepare(part.truth, group)
    starts = torch.from_numpy(ends - (view.receptive_field - 1)).to(view.device)
    for begin in range(0, len(starts), _BATCH):
        tile = starts[begin : begin + _BATCH]
        windows, mask = view.windows(prepared, tile)
        output = view.model.reconstruct(windows)
        aim = windows if truth is None else view.windows(truth, tile)[0]
        there = torch.ones_like(windows) if mask is None else mask
        yield (aim - output).double().cpu().numpy(), there.double().cpu().numpy()
