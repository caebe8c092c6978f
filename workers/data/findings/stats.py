"""What the values of one sensor are like, channel by channel, in a few passes over them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_BLOCK_VALUES = 4_000_000


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Of each channel of a sensor, [C]; NaN and -1 where it has no value.

    Attributes:
        count: values that are there.
        low, high: the smallest and the largest.
        at_low, at_high: how many values are exactly that.
        next_low, next_high: the smallest and the largest of the others.
        rises, falls: steps from one value to the next, up and down.
        first, last: rows of the first and the last value.
    """

    count: IntArray
    low: FloatArray
    high: FloatArray
    at_low: IntArray
    at_high: IntArray
    next_low: FloatArray
    next_high: FloatArray
    rises: IntArray
    falls: IntArray
    first: IntArray
    last: IntArray


def channel_stats(values: FloatArray) -> ChannelStats:
    """Statistics of values [n, C], n > 0, in the order of time; NaN = missing."""
    parts = [_block_stats(block) for block in _blocks(values)]
    return ChannelStats(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def _blocks(values: FloatArray) -> Iterator[FloatArray]:
    """Some channels at once, each in a row of its own: [k, n]."""
    n, channels = values.shape
    size = max(_BLOCK_VALUES // n, 1)
    for start in range(0, channels, size):
        yield np.ascontiguousarray(values[:, start : start + size].T)


def _block_stats(block: FloatArray) -> tuple[npt.NDArray[np.generic], ...]:
    n = block.shape[1]
    present = np.isfinite(block)
    count = np.count_nonzero(present, axis=1)
    some, whole = count > 0, count == n
    low = np.fmin.reduce(block, axis=1)
    high = np.fmax.reduce(block, axis=1)
    is_low, is_high = block == low[:, None], block == high[:, None]
    at_low, at_high = np.count_nonzero(is_low, axis=1), np.count_nonzero(is_high, axis=1)
    next_low = np.fmin.reduce(np.where(is_low, np.nan, block), axis=1)
    next_high = np.fmax.reduce(np.where(is_high, np.nan, block), axis=1)
    rises = np.count_nonzero(block[:, 1:] > block[:, :-1], axis=1)
    falls = np.count_nonzero(block[:, 1:] < block[:, :-1], axis=1)
    for row in np.flatnonzero(some & ~whole):
        known = block[row][present[row]]
        rises[row] = np.count_nonzero(known[1:] > known[:-1])
        falls[row] = np.count_nonzero(known[1:] < known[:-1])
    first = np.where(some, present.argmax(axis=1), -1)
    last = np.where(some, n - 1 - present[:, ::-1].argmax(axis=1), -1)
    return (
        count, low, high, at_low, at_high, next_low, next_high, rises, falls, first, last,
    )  # fmt: skip
