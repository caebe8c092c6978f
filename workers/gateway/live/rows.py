"""The last rows of each sensor, in rings of one size. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows", "RowsSince"]

Times = NDArray[np.int64]
Values = NDArray[np.float32]


class RowsSince(NamedTuple):
    """Rows of one sensor, in the order in which they came."""

    ts_ns: Times
    """[k] event times."""
    values: Values
    """[k, columns]; NaN is missing."""
    next: int
    """Number of the row that comes next: what to ask for then."""


class Rows:
    """A ring of rows for each of a number of sensors.

    Args:
        rows: how many each keeps.
        columns: numbers in a row beside its time.
    """

    def __init__(self, *, rows: int, columns: int) -> None:
        self._rows = rows
        self._ts = np.zeros((0, rows), dtype=np.int64)
        self._values = np.zeros((0, rows, columns), dtype=np.float32)
        self._count = np.zeros(0, dtype=np.int64)

    @property
    def bytes_per_sensor(self) -> int:
        """Memory of one sensor."""
        return self._rows * (8 + 4 * self._values.shape[2]) + 8

    def grow(self, sensors: int) -> None:
        """Make room for so many sensors; those that are there keep their rows."""
        more = sensors - len(self._count)
        if more <= 0:
            return
        shape = (more, *self._values.shape[1:])
        self._ts = np.concatenate((self._ts, np.zeros(shape[:2], np.int64)))
        self._values = np.concatenate((self._values, np.full(shape, np.nan, np.float32)))
        self._count = np.concatenate((self._count, np.zeros(more, np.int64)))

    def forget(self, sensor: int) -> None:
        """Empty the ring of a sensor."""
        self._ts[sensor] = 0
        self._values[sensor] = np.nan
        self._count[sensor] = 0

    def append(self, at: NDArray[np.intp], ts_ns: Times, values: NDArray[np.floating]) -> None:
        """Take in rows.

        Args:
            at: [k] index of each row's sensor.
            ts_ns: [k] event times.
            values: [k, columns].
        """
        if not len(at):
            return
        order = np.argsort(at, kind="stable")
        at = at[order]
        starts = np.flatnonzero(np.concatenate(([True], at[1:] != at[:-1])))
        counts = np.diff(np.concatenate((starts, [len(at)])))
        rank = np.arange(len(at)) - np.repeat(starts, counts)
        # Of more rows than a ring holds the last ones, or one slot would be written twice.
        kept = rank >= np.repeat(counts, counts) - self._rows
        slots = (self._count[at] + rank) % self._rows
        where = (at[kept], slots[kept])
        self._ts[where] = ts_ns[order][kept]
        self._values[where] = values[order][kept]
        self._count[at[starts]] += counts

    def since(self, sensor: int, number: int = 0) -> RowsSince:
        """The rows of a sensor from a number on, as far as they are still there."""
        count = int(self._count[sensor])
        first = max(number, count - self._rows, 0)
        slots = np.arange(min(first, count), count) % self._rows
        return RowsSince(self._ts[sensor, slots], self._values[sensor, slots], count)
