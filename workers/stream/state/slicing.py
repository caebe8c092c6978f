"""Parts of a batch's readings. Pure."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Bool, Int64

from schemas.columns import Readings


def between(readings: Readings, start: int, stop: int) -> Readings:
    """The records at positions `start` to `stop`, with positions counted from `start`."""
    positions = readings.positions
    first, last = np.searchsorted(positions, (start, stop)).tolist()
    if first == 0 and last == len(positions) and start == 0:
        return readings
    before = int(readings.counts[:first].sum())
    rows = slice(before, before + int(readings.counts[first:last].sum()))
    return Readings(
        positions=positions[first:last] - start,
        sensors=readings.sensors[first:last],
        counts=readings.counts[first:last],
        ts_ns=readings.ts_ns[rows],
        values=readings.values[rows],
    )


def at_offsets(
    readings: Readings, offsets: Int64[np.ndarray, " records"], chosen: Collection[int]
) -> Bool[np.ndarray, " good"]:
    """Which of the good records lie at the chosen offsets.

    Args:
        readings: of a batch.
        offsets: of all records of the batch.
        chosen: some offsets.
    """
    return np.isin(offsets[readings.positions], np.fromiter(chosen, np.int64, len(chosen)))


def without_records(readings: Readings, unwanted: Bool[np.ndarray, " good"]) -> Readings:
    """All records but some."""
    if not unwanted.any():
        return readings
    rows = ~np.repeat(unwanted, readings.counts)
    return Readings(
        positions=readings.positions[~unwanted],
        sensors=[s for s, out in zip(readings.sensors, unwanted.tolist(), strict=True) if not out],
        counts=readings.counts[~unwanted],
        ts_ns=readings.ts_ns[rows],
        values=readings.values[rows],
    )


def without(
    readings: Readings, offsets: Int64[np.ndarray, " records"], unwanted: Collection[int]
) -> Readings:
    """All records but those at some offsets; arguments as for `at_offsets`."""
    if not unwanted:
        return readings
    return without_records(readings, at_offsets(readings, offsets, unwanted))
