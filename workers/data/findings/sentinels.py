"""Values that stand for "nothing was measured": far outside everything else, and exact. Pure.

A reading scatters, a code does not: -200 comes again and again to the last digit, and nothing lies
between it and the readings. Flags and modes have few values in all and are left alone. Zero is the
hard one, as a machine that stands still measures it rightly: the other channels must not stand
still with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_MOST = 4
"""Values of a channel at most."""
_MIN_REST, _MIN_DISTINCT = 20, 10
_LEAST, _LEAST_KNOWN = 10, 3
"""Times that a value comes, and one that is known as a code."""
_MOST_SHARE = 0.2
"""More of them are a state of the machine, unless they are known as a code."""
_SAMPLE = 100_000
_NINES = (99, 999, 9_999, 99_999, 999_999, 9_999_999, 99_999_999, 999_999_999)
_KNOWN = {
    *_NINES, *(-nine for nine in _NINES), -200, 888, 8_888, -888, -8_888, 999.9, -999.9, 999.25,
    -999.25, 127, -128, 255, 32_767, -32_768, 65_535, 2.0**31 - 1, -(2.0**31), 2.0**32 - 1,
}  # fmt: skip
_NOTHING, _SCALED = (0, -1), 2
_CODE_SIZE = 1e15
_LARGE_CODE = 999
"""No number of a mode."""
EDGES = ("low", "high", "at_low", "at_high", "next_low", "next_high")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentinel:
    """One such value.

    Attributes:
        count: how often it comes.
        low, high: of the readings.
        sure: whether it can hardly be a reading.
        near: whether only the other channels can tell that it is none: a 0 or -1 nearer to the
            readings than another value may be.
    """

    value: float
    count: int
    low: float
    high: float
    sure: bool
    near: bool


def may_hold_sentinels(
    *, low: float, high: float, at_low: int, at_high: int, next_low: float, next_high: float
) -> bool:
    """Whether a look at a channel pays: an extreme that repeats is far from the next value."""
    if not (np.isfinite(next_low) and np.isfinite(next_high)):
        return False
    sides = [at_low >= _LEAST_KNOWN, at_high >= _LEAST_KNOWN]
    # In halves: the difference of two large floats may be none.
    below, above = next_low / 2 - low / 2, high / 2 - next_high / 2
    inside = max(next_high / 2 - next_low / 2, 0)
    return bool(
        (sides[0] and below > 0.5 * min(inside, high / 2 - next_low / 2))
        or (sides[1] and above > 0.5 * min(inside, next_high / 2 - low / 2))
    )


def find_sentinels(known: FloatArray) -> list[Sentinel]:
    """The codes among the values [n] of one channel of one sensor, all finite."""
    found: list[Sentinel] = []
    while len(found) < _MOST:
        for value in (float(known.min()), float(known.max())):
            rest = known[known != value]
            if one := _isolated(value, len(known) - len(rest), rest):
                found.append(one)
                known = rest
                break
        else:
            break
    return found


def _isolated(value: float, count: int, rest: FloatArray) -> Sentinel | None:
    if len(rest) < _MIN_REST:
        return None
    low, high = float(rest.min()), float(rest.max())
    full = high / 2 - low / 2
    gap = low / 2 - value / 2 if value < low else value / 2 - high / 2
    known = value in _KNOWN or abs(value) >= _CODE_SIZE
    if gap < (0.5 if known else 1.0) * full or count < _LEAST_KNOWN:
        return None
    # The usual "nothing" comes nearer to the readings, but not where they are scaled to 1.
    nothing = value in _NOTHING and low >= _SCALED
    far = (known and abs(value) >= _LARGE_CODE) or _scatters(rest, gap / (1 if known else 2))
    if not far and not (nothing and _scatters(rest, gap)):
        return None
    if not known and not _LEAST <= count <= _MOST_SHARE * (count + len(rest)):
        return None
    return Sentinel(
        value=value, count=count, low=low, high=high, sure=known and gap > full, near=not far
    )


def _scatters(rest: FloatArray, limit: float) -> bool:
    """Whether values are readings rather than modes, and half their usual span is at most that."""
    some = rest[:: max(len(rest) // _SAMPLE, 1)]
    usual = np.diff(np.quantile(some / 2, [0.01, 0.99]))[0]
    return bool(0 < usual <= limit) and len(np.unique(some)) >= _MIN_DISTINCT


def same_state(values: FloatArray, channel: int, value: float) -> bool:
    """Whether other channels are elsewhere than usual, too, where one has a value.

    Args:
        values: of a sensor, [n, C].
        channel: the one.
        value: 0, or what else may be that of a machine at rest.
    """
    still = values[:, channel] == value
    others = np.delete(values, channel, axis=1)
    for column in others.T:
        here, usual = column[still], column[~still]
        here, usual = here[np.isfinite(here)], usual[np.isfinite(usual)]
        if len(here) and len(usual):
            low, high = np.quantile(usual, [0.01, 0.99])
            if not low <= np.median(here) <= high:
                return True
    return False
