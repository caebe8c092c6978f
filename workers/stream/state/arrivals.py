"""A batch's readings, sensor by sensor: the form in which histories take them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Readings

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrivals:
    """Readings, sensor by sensor, each in arrival order.

    `slots` and `sizes` have one entry a sensor touched, [u], no slot twice; the others one a
    reading, [k]. `restarts` marks the readings with which a warm-up begins again.
    """

    slots: Int64s
    sizes: Int64s
    ts_ns: Int64s
    offsets: Int64s
    indices: Int64s
    values: Float64s
    restarts: Bools

    @property
    def firsts(self) -> Int64s:
        """Where each sensor's readings begin, [u]."""
        return np.cumsum(self.sizes) - self.sizes

    def marked(self, restarts: Bools) -> Arrivals:
        """The same with other restarts."""
        return replace(self, restarts=restarts)

    def where(self, keep: Bools) -> Arrivals:
        """Only the readings to keep, [k]; sensors without any are left out."""
        kept = np.add.reduceat(keep.astype(np.int64), self.firsts)
        touched = kept > 0
        return Arrivals(
            slots=self.slots[touched],
            sizes=kept[touched],
            ts_ns=self.ts_ns[keep],
            offsets=self.offsets[keep],
            indices=self.indices[keep],
            values=self.values[keep],
            restarts=self.restarts[keep],
        )

    def of(self, sensors: Bools, slots: Int64s) -> Arrivals:
        """Only some sensors' readings, under other slots.

        Args:
            sensors: which, [u].
            slots: one for each of those.
        """
        return replace(self.where(np.repeat(sensors, self.sizes)), slots=slots)


def by_sensor(slots: Int64s, readings: Readings, record_offsets: Int64s) -> Arrivals:
    """Sort a batch's readings by sensor, stable, so that each sensor keeps its arrival order.

    Args:
        slots: the slot of the sensor of each record, [m].
        readings: m records.
        record_offsets: [m].
    """
    counts = readings.counts
    of_reading = np.repeat(slots, counts)
    order = np.argsort(of_reading, kind="stable")
    indices = np.arange(len(of_reading)) - np.repeat(np.cumsum(counts) - counts, counts)
    touched, sizes = np.unique(of_reading, return_counts=True)
    return Arrivals(
        slots=touched,
        sizes=sizes.astype(np.int64),
        ts_ns=readings.ts_ns[order],
        offsets=np.repeat(record_offsets, counts)[order],
        indices=indices[order],
        values=readings.values[order],
        restarts=np.zeros(len(order), np.bool_),
    )
