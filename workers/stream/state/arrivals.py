"""A batch's readings, sensor by sensor: the form in which windows take them. Pure."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from schemas.columns import Readings


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrivals:
    """The k readings of u sensors, sensor by sensor, each in arrival order.

    Attributes:
        rows: of each sensor in the arrays of `Windows`; none comes twice.
        sizes: how many readings each has.
        ts_ns: event times.
        offsets: of the readings' records.
        indices: of the readings within their records.
        values: NaN is missing.
        restarts: the readings with which a warm-up begins again.
    """

    rows: Int64[np.ndarray, " u"]
    sizes: Int64[np.ndarray, " u"]
    ts_ns: Int64[np.ndarray, " k"]
    offsets: Int64[np.ndarray, " k"]
    indices: Int64[np.ndarray, " k"]
    values: Float64[np.ndarray, "k channels"]
    restarts: Bool[np.ndarray, " k"]

    @property
    def firsts(self) -> Int64[np.ndarray, " u"]:
        """Where each sensor's readings begin."""
        firsts: NDArray[np.int64] = np.cumsum(self.sizes) - self.sizes
        return firsts

    def where(self, keep: Bool[np.ndarray, " k"]) -> "Arrivals":
        """Only the readings to keep; sensors without any are left out."""
        kept = np.add.reduceat(keep.astype(np.int64), self.firsts)
        touched = kept > 0
        return Arrivals(
            rows=self.rows[touched],
            sizes=kept[touched],
            ts_ns=self.ts_ns[keep],
            offsets=self.offsets[keep],
            indices=self.indices[keep],
            values=self.values[keep],
            restarts=self.restarts[keep],
        )

    def of(self, sensors: Bool[np.ndarray, " u"], rows: Int64[np.ndarray, " v"]) -> "Arrivals":
        """Only some sensors' readings, in other rows."""
        return replace(self.where(np.repeat(sensors, self.sizes)), rows=rows)


def by_sensor(
    rows: Int64[np.ndarray, " m"], readings: Readings, record_offsets: Int64[np.ndarray, " m"]
) -> Arrivals:
    """Sort a batch's readings by sensor, stable, so that each sensor keeps its arrival order.

    Args:
        rows: the row of the sensor of each record.
        readings: m records.
        record_offsets: their offsets.
    """
    counts = readings.counts
    of_reading = np.repeat(rows, counts)
    order = np.argsort(of_reading, kind="stable")
    begins = np.cumsum(counts) - counts
    if (record_offsets[1:] == record_offsets[:-1]).any():
        # A record of several sensors lies here as several: its readings are counted through.
        is_same = np.concatenate(([False], record_offsets[1:] == record_offsets[:-1]))
        begins = np.maximum.accumulate(np.where(is_same, 0, begins))
    indices = np.arange(len(of_reading)) - np.repeat(begins, counts)
    touched, sizes = np.unique(of_reading, return_counts=True)
    return Arrivals(
        rows=touched,
        sizes=sizes.astype(np.int64),
        ts_ns=readings.ts_ns[order],
        offsets=np.repeat(record_offsets, counts)[order],
        indices=indices[order],
        values=readings.values[order],
        restarts=np.zeros(len(order), np.bool_),
    )
