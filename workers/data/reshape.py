"""Rows of one sensor made into other rows: pivoted, as rates, at whole intervals. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workers.data.layout import Resample

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MAX_MADE_ROWS = 100_000_000


def pivot(
    ts_ns: IntArray, tags: npt.NDArray[np.int32], values: FloatArray, n_channels: int
) -> tuple[IntArray, FloatArray, IntArray]:
    """Rows of all channels from rows of one value each.

    Args:
        ts_ns: time of each value, ascending, [n].
        tags: its channel, [n].
        values: [n].
        n_channels: C.

    Returns:
        The times, each once; values [m, C], NaN where a channel has none, the first where it has
        several; and the position of each value's row, -1 of those that came second.
    """
    times, row = np.unique(ts_ns, return_inverse=True)
    made = np.full((len(times), n_channels), np.nan)
    _, first = np.unique(row * np.int64(n_channels) + tags, return_index=True)
    made[row[first], tags[first]] = values[first]
    place = np.full(len(ts_ns), -1, np.int64)
    place[first] = row[first]
    return times, made, place


def rates(ts_ns: IntArray, counter: FloatArray) -> FloatArray:
    """Increase per second since the last value; NaN at the first, and where the counter fell.

    A counter that falls was set back, or ran over: what it counted before is not known.

    Args:
        ts_ns: ascending, [n].
        counter: NaN = missing, [n].
    """
    present = np.flatnonzero(np.isfinite(counter))
    # Of rows of one time the first counts, as it does where they are left out.
    present = present[np.append(True, np.diff(ts_ns[present]) > 0)[: len(present)]]
    made = np.full(len(counter), np.nan)
    if len(present) > 1:
        seconds = np.diff(ts_ns[present]) / 1e9
        # Halved beforehand: the difference of two large floats may be none.
        with np.errstate(over="ignore"):
            increase = (counter[present[1:]] / 2 - counter[present[:-1]] / 2) * 2
        known = (increase >= 0) & np.isfinite(increase)
        made[present[1:][known]] = increase[known] / seconds[known]
    return made


def resample(
    ts_ns: IntArray, values: FloatArray, labels: BoolArray | None, how: Resample
) -> tuple[IntArray, FloatArray, BoolArray | None]:
    """Rows at multiples of an interval: at t, what came after t minus the interval and up to t.

    So a row holds nothing that is not known at its time, and rows that lie on the multiples
    already stay. Without a value in it an interval has no row, but for the rule `hold`, which
    repeats the last value of each channel.

    Args:
        ts_ns: ascending, [n].
        values: NaN = missing, [n, C].
        labels: of the rows; one that is anomalous makes its interval so.
        how: interval and rule.

    Raises:
        ValueError: `hold` would make more than `MAX_MADE_ROWS` rows.
    """
    if not len(ts_ns):
        return ts_ns, values, labels
    step = how.interval_ns
    times, starts = np.unique(-(-ts_ns // step) * step, return_index=True)
    made = np.stack([_reduce(column, starts, how.rule) for column in values.T], axis=1).reshape(
        len(times), values.shape[1]
    )
    flags = None if labels is None else np.logical_or.reduceat(labels, starts)
    return _held(times, made, flags, step) if how.rule == "hold" else (times, made, flags)


def _reduce(column: FloatArray, starts: IntArray, rule: str) -> FloatArray:
    present = np.isfinite(column)
    count = np.add.reduceat(present.astype(np.int64), starts)
    if rule in {"last", "hold", "first"}:
        n, sign = len(column), -1 if rule == "first" else 1
        place = np.where(present, sign * np.arange(n), -n)
        best = sign * np.maximum.reduceat(place, starts)
        return np.where(count > 0, column[np.clip(best, 0, n - 1)], np.nan)
    if rule == "mean":
        # Each value is divided first: the sum of two that are near the largest float has none.
        share = np.repeat(np.maximum(count, 1), np.diff([*starts, len(column)]))
        total = np.add.reduceat(np.where(present, column, 0.0) / share, starts)
        return np.where(count > 0, total, np.nan)
    best = (
        np.minimum.reduceat(np.where(present, column, np.inf), starts)
        if rule == "min"
        else np.maximum.reduceat(np.where(present, column, -np.inf), starts)
    )
    return np.where(count > 0, best, np.nan)


def _held(
    times: IntArray, values: FloatArray, labels: BoolArray | None, step: int
) -> tuple[IntArray, FloatArray, BoolArray | None]:
    n = int((times[-1] - times[0]) // step) + 1
    if n > MAX_MADE_ROWS:
        raise ValueError(f"--resample with hold would make {n:,} rows: choose a longer interval")
    every = times[0] + np.arange(n, dtype=np.int64) * step
    source = np.searchsorted(times, every, side="right") - 1
    filled = values.copy()
    for column in filled.T:
        last = np.maximum.accumulate(np.where(np.isfinite(column), np.arange(len(column)), -1))
        column[:] = np.where(last >= 0, column[np.maximum(last, 0)], np.nan)
    return every, filled[source], None if labels is None else labels[source]
