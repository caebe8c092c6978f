"""Kalman filter and Rauch-Tung-Striebel smoother of a local level with or without a trend."""

import numpy as np
import numpy.typing as npt

from detector.compiled import compiled

FloatArray = npt.NDArray[np.float64]


@compiled
def kalman(column: FloatArray, level: float, trend: float, smooth: bool) -> FloatArray:  # noqa: FBT001
    """Level l of x = l + e, Var e = 1, l' = l + v + w, v' = v + u, Var w = level, Var u = trend.

    Args:
        column: readings; NaN = missing, which is no update.
        level: variance of w.
        trend: variance of u; 0: there is no v.
        smooth: given all rows instead of those before (Rauch, Tung and Striebel 1965).
    """
    rows = len(column)
    state = np.zeros((rows, 2))
    spread = np.zeros((rows, 3))  # of the level, of both, of the trend
    ahead = np.zeros((rows, 2))
    wider = np.zeros((rows, 3))
    at, v, a, b, c = 0.0, 0.0, 1e6, 0.0, (1.0 if trend > 0 else 0.0)
    began = False
    for t in range(rows):
        if began:
            at += v
            a, b, c = a + 2 * b + c + level, b + c, c + trend
        ahead[t, 0], ahead[t, 1] = at, v
        wider[t, 0], wider[t, 1], wider[t, 2] = a, b, c
        x = column[t]
        if np.isfinite(x):
            if not began:
                at, began = x, True
                ahead[t, 0] = x
            gain, turn = a / (a + 1.0), b / (a + 1.0)
            d = x - at
            at += gain * d
            v += turn * d
            a, b, c = a - gain * a, b - gain * b, c - turn * b
        state[t, 0], state[t, 1] = at, v
        spread[t, 0], spread[t, 1], spread[t, 2] = a, b, c
    if not smooth:
        return state[:, 0].copy()
    for t in range(rows - 2, -1, -1):
        a, b, c = spread[t, 0], spread[t, 1], spread[t, 2]
        p, q, r = wider[t + 1, 0], wider[t + 1, 1], wider[t + 1, 2]
        at, v = state[t + 1, 0] - ahead[t + 1, 0], state[t + 1, 1] - ahead[t + 1, 1]
        if trend > 0:
            # P F' = [[a + b, b], [b + c, c]], times the inverse of [[p, q], [q, r]]
            over = p * r - q * q
            g, h = r * at - q * v, p * v - q * at
            state[t, 0] += ((a + b) * g + b * h) / over
            state[t, 1] += ((b + c) * g + c * h) / over
        elif p > 0:
            state[t, 0] += a / p * at
    return state[:, 0].copy()
