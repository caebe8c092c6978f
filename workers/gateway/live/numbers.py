"""Numbers as a page needs them: few digits, and the width of a normal band. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["half_widths", "milliseconds", "short"]

_DIGITS: Final = 6
_SIGMAS: Final = 3.0
_MAD_TO_SIGMA: Final = 1.4826
_FEWEST: Final = 20
"""With fewer readings a spread says nothing."""


def short(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The same to six digits, so that a document has no digits that nobody sees."""
    values = values.astype(np.float64)
    with np.errstate(all="ignore"):
        digits = _DIGITS - 1 - np.floor(np.log10(np.abs(values)))
        scale = 10.0 ** np.where(np.isfinite(digits), np.clip(digits, -300, 300), 0)
        rounded = np.round(values * scale) / scale
    return np.where(np.isfinite(rounded), rounded, values)


def milliseconds(ts_ns: NDArray[np.int64]) -> list[int]:
    """Event times in milliseconds, as a browser counts."""
    found: list[int] = (ts_ns // 1_000_000).tolist()
    return found


def half_widths(
    measured: NDArray[np.floating], cleaned: NDArray[np.floating], is_normal: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Half the width of the band around the cleaned value in which readings usually lie.

    Three robust standard deviations (1.4826 x the median absolute difference) of measured - cleaned
    over the readings that were not flagged. The gateway has no model at hand: the band of an
    incident's channel is the model's own, this one is what the last readings looked like.

    Args:
        measured: [k, channels] of readings.
        cleaned: [k, channels] of the same readings.
        is_normal: [k] whether each was below the threshold.

    Returns:
        [channels]; NaN where too few are known.
    """
    difference = np.abs(measured[is_normal].astype(np.float64) - cleaned[is_normal])
    known = np.count_nonzero(np.isfinite(difference), axis=0)
    widths = np.full(measured.shape[1], np.nan)
    for channel in np.flatnonzero(known >= _FEWEST):
        column = difference[:, channel]
        spread = np.median(column[np.isfinite(column)])
        widths[channel] = _SIGMAS * _MAD_TO_SIGMA * float(spread)
    return widths
