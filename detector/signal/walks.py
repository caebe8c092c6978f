"""A reading predicted from means around it, if the signal walks and the noise is white."""

import itertools

import numpy as np
from jaxtyping import Float64

from detector.signal.context import Context

_LEVELS = (0.0, *(10.0**power for power in np.arange(-5.0, 2.1, 0.5)))
_TRENDS = (0.0, *(10.0**power for power in range(-9, 1)))

Rows = Float64[np.ndarray, "rows rows"]


def walk_weights(context: Context) -> Float64[np.ndarray, "walks means"]:
    """Weights of the means in the best linear unbiased prediction of the reading.

    Of signals that step at random from row to row, whose slope does so, or both: those that a
    Kalman filter of a local level or a local linear trend follows (Harvey 1989), of all ratios of
    steps to white noise. Two numbers say which: so little is estimated that a short noisy history
    suffices.

    The weights of a prediction add up to one, so it holds for values relative to anything.
    """
    rows = context.field
    age = np.arange(rows)[:, None]
    lags, widths = np.array(context.lags), np.array(context.widths)
    mean = ((age >= lags) & (age < lags + widths)).T / widths[:, None]
    places = np.vstack([mean, np.arange(rows) == context.target])
    shared = [places @ one @ places.T for one in _covariances(rows)]
    trend = places @ np.stack([np.ones(rows), np.arange(rows) / rows], axis=1)
    noise = np.diag(np.append(1.0 / widths, 0.0))
    return np.stack(
        [
            _prediction(level * shared[0] + slope * shared[1] + noise, trend[:, : 1 + (slope > 0)])
            for level, slope in itertools.product(_LEVELS, _TRENDS)
            if level > 0 or slope > 0
        ]
    )


def _covariances(rows: int) -> tuple[Rows, Rows]:
    """Of a walk and of a walk of the slope, that start at the newest row."""
    place = np.arange(rows, dtype=np.float64)
    low = np.minimum(place[:, None], place)
    high = np.maximum(place[:, None], place)
    # Sum of (i - k)(j - k) over k = 1 .. min(i, j).
    ramps = low * (low + 1) * (2 * low + 1) / 6 - (low + high) * low * (low + 1) / 2
    return low, ramps + low**2 * high


def _prediction(
    covariance: Float64[np.ndarray, "places places"], trend: Float64[np.ndarray, "places powers"]
) -> Float64[np.ndarray, " means"]:
    """Universal kriging: of the last place from all others, level (and slope) being unknown."""
    means, powers = len(covariance) - 1, trend.shape[1]
    system = np.zeros((means + powers, means + powers))
    system[:means, :means] = covariance[:means, :means]
    system[:means, means:] = trend[:means]
    system[means:, :means] = trend[:means].T
    wanted = np.concatenate([covariance[:means, means], trend[means]])
    weights: Float64[np.ndarray, " means"] = np.linalg.solve(system, wanted)[:means]
    return weights
