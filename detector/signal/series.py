"""Series, their uninterrupted runs, and the windows that lie inside them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

LARGEST = 1e150
"""A value beyond it is no measurement: its square, summed over a history, is no number."""
GAP_INTERVALS = 10
"""A longer step of time is a gap: no window reaches over it."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """The readings of one sensor, in arrival order.

    Attributes:
        sensor: its id.
        ts_ns: event times, nanoseconds since the epoch.
        values: channel units, NaN (or an infinity, or beyond `LARGEST`) = missing.

    Raises:
        ValueError: the shapes do not fit.
    """

    sensor: str
    ts_ns: Int64[np.ndarray, " rows"]
    values: Float64[np.ndarray, "rows channels"]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.ts_ns.shape != self.values.shape[:1]:  # noqa: PLR2004
            raise ValueError(
                f"sensor {self.sensor!r}: ts_ns must be [n] and values [n, C], "
                f"got {self.ts_ns.shape} and {self.values.shape}"
            )


def in_order(series: Series) -> Series:
    """The series without late and duplicate readings, and with missing for what is beyond bounds.

    A reading stays when it is newer than all before it: the same rule as in the live stream.
    """
    newest = np.maximum.accumulate(series.ts_ns)
    keep = np.ones(len(newest), dtype=bool)
    keep[1:] = series.ts_ns[1:] > newest[:-1]
    values = np.array(series.values[keep], dtype=np.float64)
    values[~(np.abs(values) <= LARGEST)] = np.nan
    return Series(sensor=series.sensor, ts_ns=series.ts_ns[keep], values=values)


def sampling_interval_ns(series: Sequence[Series]) -> int:
    """The median step of time over all series in order.

    Raises:
        ValueError: no series has two readings.
    """
    steps = [np.diff(one.ts_ns) for one in series if len(one.ts_ns) > 1]
    if not steps:
        raise ValueError("the sampling interval needs a series of at least two readings in order")
    return int(np.median(np.concatenate(steps)))


def runs(ts_ns: Int64[np.ndarray, " rows"], max_gap_ns: int) -> list[tuple[int, int]]:
    """Start and end (excluded) of the segments without a gap longer than `max_gap_ns`."""
    if len(ts_ns) == 0:
        return []
    breaks = np.flatnonzero(np.diff(ts_ns) > max_gap_ns) + 1
    borders = [0, *breaks.tolist(), len(ts_ns)]
    return list(itertools.pairwise(borders))


def true_runs(mask: Bool[np.ndarray, " n"]) -> Int64[np.ndarray, "runs 2"]:
    """Runs of True as half-open ranges.

    Example:
        >>> true_runs(np.array([False, True, True, False, True])).tolist()
        [[1, 3], [4, 5]]
    """
    padded = np.concatenate(([False], mask, [False]))
    return np.flatnonzero(padded[1:] != padded[:-1]).astype(np.int64).reshape(-1, 2)


def window_ends(
    segments: Sequence[tuple[int, int]], receptive_field: int
) -> Int64[np.ndarray, " windows"]:
    """The last row of every window of R rows that lies inside one of the segments."""
    ends = [np.arange(start + receptive_field - 1, end) for start, end in segments]
    return np.concatenate([np.zeros(0, dtype=np.int64), *ends]).astype(np.int64)


def trailing_mean(values: Float64[np.ndarray, " n"], rows: int) -> Float64[np.ndarray, " n"]:
    """Means over the last rows; the first ones share that of the first `rows`.

    One row alone is all noise.
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    last = np.maximum(np.arange(1, len(values) + 1), min(rows, len(values)))
    first = np.maximum(last - rows, 0)
    mean: Float64[np.ndarray, " n"] = (total[last] - total[first]) / (last - first)
    return mean


def last_present(present: Bool[np.ndarray, "rows channels"]) -> Int64[np.ndarray, "rows channels"]:
    """The row of each channel's last value up to each row; -1 where there is none yet."""
    source = np.where(present, np.arange(len(present))[:, None], -1)
    np.maximum.accumulate(source, axis=0, out=source)
    return source


def carried(rows: Float64[np.ndarray, "rows channels"]) -> Float64[np.ndarray, "rows channels"]:
    """Missing values replaced by the last one before, or by 0."""
    source = last_present(np.isfinite(rows))
    return np.where(source >= 0, np.take_along_axis(rows, np.maximum(source, 0), axis=0), 0.0)


def count_in_windows(
    mask: Bool[np.ndarray, "rows channels"], ends: Int64[np.ndarray, " n"], receptive_field: int
) -> Int64[np.ndarray, "n channels"]:
    """In how many rows of the window that ends at each of `ends` the mask is set."""
    so_far = np.zeros((len(mask) + 1, mask.shape[1]), dtype=np.int64)
    np.cumsum(mask, axis=0, out=so_far[1:])
    count: Int64[np.ndarray, "n channels"] = so_far[ends + 1] - so_far[ends + 1 - receptive_field]
    return count


def thin(items: Int64[np.ndarray, " items"], limit: int) -> Int64[np.ndarray, " kept"]:
    """At most `limit` of the items, evenly spread, in order."""
    if len(items) <= limit:
        return items
    kept: Int64[np.ndarray, " kept"] = items[np.linspace(0, len(items) - 1, limit).astype(np.int64)]
    return kept
