"""How noisy a channel is, from the channel alone."""

import math

import numpy as np
from jaxtyping import Float64

_ORDERS = (2, 3, 4, 5, 6)
_MIN_DIFFERENCES = 32
_MAX_ROWS = 50_000


def noise_level(
    rows: Float64[np.ndarray, "rows channels"],
) -> Float64[np.ndarray, " channels"]:
    """Standard deviation of the white noise in each channel, in channel units.

    A difference of order p removes a signal that p-1 straight pieces can follow and leaves
    noise of variance binomial(2p, p) times its own. A signal can only add to a difference, so
    the least of several orders is the best estimate. The median of the absolute differences
    stands for their size: steps and spikes are few.

    What it cannot see: noise that is correlated in time counts as signal, and a signal that
    changes within three readings counts as noise.

    Args:
        rows: consecutive readings, NaN = missing. Beyond 50,000 rows the first ones are taken.

    Returns:
        At least zero; zero where there are too few values, or most differences are zero.
    """
    sigma = np.zeros(rows.shape[1])
    for channel, column in enumerate(rows[:_MAX_ROWS].T):
        estimates = []
        for order in _ORDERS:
            differences = np.diff(column, order)
            differences = differences[np.isfinite(differences)]
            if len(differences) < _MIN_DIFFERENCES:
                continue
            gain = math.sqrt(math.comb(2 * order, order))
            estimates.append(1.4826 * float(np.median(np.abs(differences))) / gain)
        sigma[channel] = min(estimates, default=0.0)
    return sigma
