"""Parts of a batch's readings. Pure."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Int64

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


def without(
    readings: Readings, offsets: Int64[np.ndarray, " r"], unwanted: Collection[int]
) -> Readings:
    """All records but those at some offsets; `offsets` are those of all records of the batch."""
    if not unwanted or not len(readings):
        return readings
    leave = np.isin(offsets[readings.positions], np.fromiter(unwanted, np.int64, len(unwanted)))
    if not leave.any():
        return readings
    rows = ~np.repeat(leave, readings.counts)
    return Readings(
        positions=readings.positions[~leave],
        sensors=[s for s, out in zip(readings.sensors, leave.tolist(), strict=True) if not out],
        counts=readings.counts[~leave],
        ts_ns=readings.ts_ns[rows],
        values=readings.values[rows],
    )
