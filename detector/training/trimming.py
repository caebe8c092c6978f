"""Rows of a history that models had better not learn from: faults that nobody labelled.

Nobody has clean data. Rows are hot whose score, by models that have not seen them and averaged
over 16 rows, lies above median + 3 (upper quarter - median) of their sensor's. Measured on 19
series: with 5 % of one fault in the history, learning without its hot rows gives back half of what
the fault costs. But where normal operation is varied (command channels), hot rows are rare normal
modes, and to leave them out costs more than the fault. There the short looks spike on held-back
normal rows, and nothing is left out.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from detector.signal.series import trailing_mean, true_runs

LEAST_TRUST = 0.5
"""Of the short looks (`detector.calibration.log_fusion.trust`), for rows to be left out."""
MOST = 0.15
"""Of a sensor's rows; the hottest runs go first."""
_SMOOTH = 16
_HOT = 3.0
_BEHIND = 16


def hot_rows(
    level: Float64[np.ndarray, " n"], sensors: Sequence[tuple[int, int]]
) -> Bool[np.ndarray, " n"]:
    """Rows that are hot, and the 16 behind each run of them, whose windows still hold it.

    Args:
        level: ranking level of each row of the history, cross-fitted.
        sensors: first row and row after the last of each sensor.
    """
    hot = np.zeros(len(level), dtype=bool)
    for start, end in sensors:
        smooth = trailing_mean(level[start:end], _SMOOTH)
        median, upper = np.quantile(smooth, [0.5, 0.75])
        runs = true_runs(smooth > median + _HOT * (upper - median))
        left = int(MOST * (end - start))
        for first, after in sorted(runs.tolist(), key=lambda run: -smooth[run[0] : run[1]].max()):
            if after - first <= left:
                left -= after - first
                hot[start + first : min(start + after + _BEHIND, end)] = True
    return hot
