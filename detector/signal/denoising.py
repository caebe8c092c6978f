"""Cleaner signals: a teacher that may look ahead, and a blend that does no harm.

*Teacher* (`smooth`): training targets. Each training signal is smoothed with its future known,
so the autoencoder learns to give, from the past alone, nearly what hindsight would give.

*Blend* (`Denoiser`): the reconstruction carries the model's error, the reading its own noise.
Their best mix follows from the data without a clean signal (Stein's unbiased risk estimate); a
reading without noise is published as it came.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32

HALF_WIDTHS = (2, 3, 5, 8, 12, 18)
"""Candidates for the teacher's local parabola, in rows to each side."""

CORRECTION_LIMIT = 4.0
"""A correction never exceeds this many usual corrections: faults are not smoothed away."""


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """The mix of reading and reconstruction of each calibration group.

    clean = reading + weight * clip(reconstruction - reading, -limit, limit)

    Attributes:
        weight: [groups, C] 0 (publish the reading) .. 1 (publish the reconstruction).
        limit: [groups, C] largest difference that may be noise, channel units, >= 0.
    """

    weight: Float64[np.ndarray, "groups channels"]
    limit: Float64[np.ndarray, "groups channels"]

    @classmethod
    def fit(
        cls,
        readings: Float64[np.ndarray, "n channels"],
        reconstructions: Float64[np.ndarray, "n channels"],
        sigma: Float64[np.ndarray, " channels"],
        leak: Float64[np.ndarray, " channels"],
    ) -> "Denoiser":
        """The mix of least expected squared error for one group.

        With d = reading - reconstruction, noise variance s^2, and the share of its own noise
        that a reading passes to its reconstruction (the leak l), the risk of weight w is
        s^2 - 2 w s^2 (1 - l) + w^2 E[d^2], least at w = s^2 (1 - l) / E[d^2].

        Args:
            readings: calibration samples, channel units, NaN = missing.
            reconstructions: theirs, channel units.
            sigma: noise level of each channel, channel units.
            leak: d reconstruction / d reading of the last row, 0..1.
        """
        difference = np.abs(readings - reconstructions)
        power = np.zeros(len(sigma))
        for channel, column in enumerate(difference.T):
            values = column[np.isfinite(column)]
            if len(values):
                # One percent may be faults that slipped into the calibration block.
                values = np.minimum(values, np.quantile(values, 0.99))
                power[channel] = float(np.mean(values**2))
        useful = sigma**2 * np.clip(1.0 - leak, 0.0, 1.0)
        weight = np.divide(useful, power, out=np.zeros_like(power), where=power > 0)
        return cls(
            weight=np.clip(weight, 0.0, 1.0)[None],
            limit=(CORRECTION_LIMIT * np.sqrt(power))[None],
        )

    def apply(
        self,
        readings: Float64[np.ndarray, "n channels"],
        reconstructions: Float64[np.ndarray, "n channels"],
        groups: Int32[np.ndarray, " n"],
    ) -> Float64[np.ndarray, "n channels"]:
        """Clean samples, channel units; the reconstruction where a reading is missing."""
        limit = self.limit.take(groups, axis=0)
        with np.errstate(over="ignore"):  # a difference beyond all numbers is cut as well
            correction: Float64[np.ndarray, "n channels"] = reconstructions - readings
        np.clip(correction, -limit, limit, out=correction)
        correction *= self.weight.take(groups, axis=0)
        correction += readings
        if not np.isfinite(correction).all():
            correction = np.where(np.isfinite(readings), correction, reconstructions)
        return correction


def smooth(
    rows: Float64[np.ndarray, "rows channels"], sigma: Float64[np.ndarray, " channels"]
) -> Float64[np.ndarray, "rows channels"]:
    """Smooth each channel with past and future, as wide as its own data allow.

    A local parabola (Savitzky and Golay 1964) of the half-width with the least estimated risk,
    mean (y - Sy)^2 + 2 s^2 S_00 - s^2, against leaving the channel as it is (risk s^2).

    Args:
        rows: consecutive readings without missing values, any unit.
        sigma: noise level of each channel, the same unit.
    """
    result = rows.copy()
    for channel, column in enumerate(rows.T):
        variance = float(sigma[channel]) ** 2
        least = variance
        for half in HALF_WIDTHS:
            if 2 * half >= len(column):
                break
            kernel = _parabola(half)
            candidate = _filtered(column, kernel)
            error = float(np.mean((column - candidate) ** 2))
            risk = error + variance * (2 * float(kernel[half]) - 1)
            if risk < least:
                least = risk
                result[:, channel] = candidate
    return result


def _parabola(half: int) -> Float64[np.ndarray, " taps"]:
    """Weights that give the middle value of the parabola nearest to 2 half + 1 values."""
    position = np.arange(-half, half + 1, dtype=np.float64)
    design = np.stack([np.ones_like(position), position**2], axis=1)
    weights: Float64[np.ndarray, " taps"] = np.linalg.pinv(design)[0]
    return weights


def _filtered(
    column: Float64[np.ndarray, " rows"], kernel: Float64[np.ndarray, " taps"]
) -> Float64[np.ndarray, " rows"]:
    half = len(kernel) // 2
    # Odd reflection keeps the slope at both ends.
    before = 2 * column[0] - column[half:0:-1]
    after = 2 * column[-1] - column[-2 : -half - 2 : -1]
    return np.convolve(np.concatenate([before, column, after]), kernel, mode="valid")
