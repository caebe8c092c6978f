"""Smooth targets: what an autoencoder learns to give from the past alone, with hindsight.

And what a reconstruction is worth beside the reading, from noisy readings alone.
"""

import numpy as np
from jaxtyping import Float64

HALF_WIDTHS = (2, 3, 5, 8, 12, 18)
"""Candidates for the teacher's local parabola, in rows to each side."""


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


def explained(
    difference: Float64[np.ndarray, "n channels"],
    sigma: Float64[np.ndarray, " channels"],
    leak: Float64[np.ndarray, " channels"],
) -> tuple[Float64[np.ndarray, " channels"], Float64[np.ndarray, " channels"]]:
    """How far a reconstruction may stand for the reading, and their usual difference.

    With d = reading - reconstruction, noise variance s^2, and the share of its own noise that a
    reading passes to its reconstruction (the leak l), the risk of mixing in a share w is
    s^2 - 2 w s^2 (1 - l) + w^2 E d^2, least at w = s^2 (1 - l) / E d^2 (Stein 1981).

    Args:
        difference: of calibration samples, channel units, NaN = missing.
        sigma: noise level of each channel, channel units.
        leak: d reconstruction / d reading of the last row, 0..1.

    Returns:
        w of each channel, 0 (it follows the noise, or says less) .. 1; and the root of E d^2.
    """
    power = usual_power(difference)
    useful = sigma**2 * np.clip(1.0 - leak, 0.0, 1.0)
    share = np.divide(useful, power, out=np.zeros_like(power), where=power > 0)
    return np.clip(share, 0.0, 1.0), np.sqrt(power)


def usual_power(
    values: Float64[np.ndarray, "n columns"],
) -> Float64[np.ndarray, " columns"]:
    """Mean square of what is known of each column; 0 where nothing is."""
    power = np.zeros(values.shape[1])
    for place, column in enumerate(np.abs(values).T):
        known = column[np.isfinite(column)]
        if len(known):
            # One percent may be faults that slipped into the calibration block.
            known = np.minimum(known, np.quantile(known, 0.99))
            power[place] = float(np.mean(known**2))
    return power
