"""A short stretch of the calibration block that alone sets the threshold: a fault, most likely.

Thresholds and the units of features come from a block that is taken for healthy. One fault in it
that nobody noticed raises both, and faults of that size are never flagged. Found are stretches that
are few, short and far out; a sensor that is restless all the time has none: that is how it is.
Measured: none on simulated pumps without faults, SKAB's anomaly-free run and four servers of SMD.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from detector.calibration.fusion import MIN_SPREAD, Fusion, raw_scores
from detector.calibration.threshold import tail_quantile
from detector.signal.series import true_runs

LEAST_FACTOR = 2.5
"""How many times as high the threshold must be as it would be without the stretches."""
MOST_STRETCHES = 2
MOST_SHARE = 0.25
"""Of the windows; more is no stretch but how the sensor is."""
_FAR, _CLOSE = 25.0, 4.0
"""A stretch passes the first and goes on while above the second, in units of upper quarter minus
median of a feature; 99 % of a normal feature's values lie below 4."""


@dataclass(frozen=True, kw_only=True)
class StandingOut:
    """Stretches of windows, and what they do.

    Attributes:
        stretches: first window and window after the last of each, in order.
        factor: the threshold over what it would be without them: a fault of a size between the two
            is not flagged.
    """

    stretches: Sequence[tuple[int, int]]
    factor: float


def standing_out(
    features: Float32[np.ndarray, "features windows channels"], *, rate: float
) -> StandingOut | None:
    """What stands out in the calibration block of a group, if it alone sets the threshold.

    Args:
        features: of the windows, in the order of time; at least one.
        rate: share of healthy readings that may be flagged.
    """
    size = features.shape[1]
    middle, upper = np.quantile(features, [0.5, 0.75], axis=1, keepdims=True)
    far = ((features - middle) / np.maximum(upper - middle, MIN_SPREAD / 4)).max(axis=(0, 2))
    runs = true_runs(far > _CLOSE).tolist()
    stretches = [(start, end) for start, end in runs if far[start:end].max() > _FAR]
    out = np.zeros(size, dtype=bool)
    for start, end in stretches:
        out[start:end] = True
    if not 0 < len(stretches) <= MOST_STRETCHES or np.mean(out) > MOST_SHARE:
        return None
    kept = np.ascontiguousarray(features[:, ~out])
    with_it = _highest(features, features, out, rate)
    without = _highest(kept, features, out, rate)
    if without < 1 or without < LEAST_FACTOR * with_it:
        return None
    return StandingOut(stretches=stretches, factor=without / with_it)


def _highest(
    fitted_on: Float32[np.ndarray, "features _ channels"],
    features: Float32[np.ndarray, "features windows channels"],
    out: Bool[np.ndarray, " windows"],
    rate: float,
) -> float:
    """The highest normalised score of the stretches, by the windows that fusion is fitted on."""
    fusion = Fusion.fit(fitted_on)
    tiny = float(np.finfo(np.float32).tiny)
    threshold = max(tail_quantile(raw_scores(fusion, fitted_on), rate), tiny)
    return float(raw_scores(fusion, np.ascontiguousarray(features[:, out])).max()) / threshold
