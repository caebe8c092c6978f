"""The last R-1 readings of each sensor, moved on by whole batches of array operations.

Pure: see `workers.stream.partition` for the policies that this module carries out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Readings

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]

_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What one batch adds: sequences (history, then new readings) and the samples to score.

    Args:
        rows: float64 [T, C], sequence behind sequence, one a sensor.
        ends: int64 [n], rows to score.
        groups, ts_ns, offsets, indices: [n], of the samples to score; an index counts the readings
            within their record.
        runs: (sensor, start, stop) into the n samples.
        accepted, late, duplicate, gaps: numbers of readings; a gap is an accepted reading that
            restarts the warm-up.
    """

    rows: Float64s
    ends: Int64s
    groups: Int32s
    ts_ns: Int64s
    offsets: Int64s
    indices: Int64s
    runs: list[tuple[str, int, int]]
    accepted: int
    late: int
    duplicate: int
    gaps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sorted:
    """A batch's readings, sensor by sensor, each in arrival order.

    `slots` and `sizes` have one entry a sensor touched, [u]; the others one a reading, [k].
    `restarts` marks the readings with which a warm-up begins again.
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


class Histories:
    """Histories of many sensors, in arrays with one slot a sensor."""

    def __init__(
        self,
        *,
        channels: int,
        receptive_field: int,
        max_gap_ns: int,
        group_of: Callable[[str], int],
    ) -> None:
        """Begin empty; slots are added as sensors appear."""
        self._field = receptive_field
        # One reading is kept even when R is 1: its time decides what is late.
        self._depth = max(receptive_field - 1, 1)
        self._max_gap_ns = max_gap_ns
        self._group_of = group_of
        self._slot: dict[str, int] = {}
        self._names: list[str] = []
        self._allocate(64, channels)

    @property
    def sensors(self) -> int:
        """Number of sensors seen."""
        return len(self._names)

    def oldest_offset(self, default: int) -> int:
        """Offset of the oldest reading that any history holds; `default` when all are empty."""
        used = self.sensors
        return int(min(default, self._oldest[:used].min())) if used else default

    def advance(self, readings: Readings, record_offsets: Int64s) -> Step:
        """Take a batch's readings, in arrival order.

        Args:
            readings: m records, n readings.
            record_offsets: int64 [m].
        """
        arrived = _by_sensor(self._slots(readings.sensors), readings, record_offsets)
        accepted, late, duplicate = self._accept(arrived)
        return self._extend(accepted, late=late, duplicate=duplicate)

    def _allocate(self, capacity: int, channels: int) -> None:
        self._rows = np.zeros((capacity, self._depth, channels))
        self._offsets = np.zeros((capacity, self._depth), np.int64)
        self._filled = np.zeros(capacity, np.int64)
        self._oldest = np.full(capacity, np.iinfo(np.int64).max, np.int64)
        self._last_ts = np.full(capacity, _NEVER, np.int64)
        self._groups = np.zeros(capacity, np.int32)

    def _slots(self, sensors: list[str]) -> Int64s:
        """The slot of each sensor, a new one for a sensor not seen before."""
        known = self._slot
        try:
            slots = [known[sensor] for sensor in sensors]
        except KeyError:
            # dict.fromkeys keeps arrival order: slots do not depend on hashing.
            for sensor in dict.fromkeys(sensors):
                if sensor not in known:
                    known[sensor] = self._add(sensor)
            slots = [known[sensor] for sensor in sensors]
        return np.array(slots, np.int64)

    def _add(self, sensor: str) -> int:
        slot = len(self._names)
        if slot == len(self._filled):
            self._grow()
        self._names.append(sensor)
        self._groups[slot] = self._group_of(sensor)
        return slot

    def _grow(self) -> None:
        old: tuple[NDArray[Any], ...] = (
            self._rows,
            self._offsets,
            self._filled,
            self._oldest,
            self._last_ts,
            self._groups,
        )
        used = len(self._filled)
        self._allocate(used * 2, self._rows.shape[2])
        new: tuple[NDArray[Any], ...] = (
            self._rows,
            self._offsets,
            self._filled,
            self._oldest,
            self._last_ts,
            self._groups,
        )
        for target, source in zip(new, old, strict=True):
            np.copyto(target[:used], source)

    def _accept(self, arrived: _Sorted) -> tuple[_Sorted, int, int]:
        """Drop late readings and duplicates; mark the readings that restart a warm-up."""
        ts_ns, firsts = arrived.ts_ns, arrived.firsts
        before = np.empty_like(ts_ns)
        before[1:] = ts_ns[:-1]
        before[firsts] = self._last_ts[arrived.slots]
        elapsed = _elapsed(ts_ns, before)
        if (elapsed > 0).all():
            return _where(arrived, restarts=elapsed > self._max_gap_ns), 0, 0
        # Something goes backward: measure from the latest accepted reading, not the one before.
        for at in np.unique(np.searchsorted(firsts, np.flatnonzero(elapsed <= 0), side="right")):
            part = slice(firsts[at - 1], firsts[at - 1] + arrived.sizes[at - 1])
            last = self._last_ts[arrived.slots[at - 1]]
            before[part] = np.maximum.accumulate(np.concatenate(([last], ts_ns[part])))[:-1]
        elapsed = _elapsed(ts_ns, before)
        accepted = _where(arrived, restarts=elapsed > self._max_gap_ns, keep=elapsed > 0)
        return accepted, int((elapsed < 0).sum()), int((elapsed == 0).sum())

    def _extend(self, new: _Sorted, *, late: int, duplicate: int) -> Step:
        """Lay each sensor's history before its new readings, and keep the last of both."""
        depth, slots = self._depth, new.slots
        filled = self._filled[slots]
        lengths = filled + new.sizes
        stops = np.cumsum(lengths)
        starts = stops - lengths
        total = int(stops[-1]) if len(stops) else 0
        rows = np.empty((total, self._rows.shape[2]))
        offsets = np.empty(total, np.int64)

        ranks = np.arange(depth)
        held = ranks >= (depth - filled)[:, None]
        places = (starts + filled - depth)[:, None] + ranks
        rows[places[held]] = self._rows[slots][held]
        offsets[places[held]] = self._offsets[slots][held]
        at = np.arange(len(new.ts_ns)) + np.repeat(starts + filled - new.firsts, new.sizes)
        rows[at] = new.values
        offsets[at] = new.offsets

        # Where the current warm-up began: the last restart, or the sequence's first row. Rows
        # ascend over all sensors, so a restart of an earlier sensor lies below this one's start.
        restarted = np.maximum.accumulate(np.where(new.restarts, at, -1))
        origins = np.maximum(restarted, np.repeat(starts, new.sizes))
        warm = at - origins + 1 >= self._field

        lasts = np.cumsum(new.sizes) - 1
        self._keep(new, rows, offsets, stops=stops, origins=origins[lasts], lasts=lasts)
        return Step(
            rows=rows,
            ends=at[warm],
            groups=np.repeat(self._groups[slots], new.sizes)[warm],
            ts_ns=new.ts_ns[warm],
            offsets=new.offsets[warm],
            indices=new.indices[warm],
            runs=self._runs(new, warm),
            accepted=len(at),
            late=late,
            duplicate=duplicate,
            gaps=int(new.restarts.sum()),
        )

    def _keep(
        self,
        new: _Sorted,
        rows: Float64s,
        offsets: Int64s,
        *,
        stops: Int64s,
        origins: Int64s,
        lasts: Int64s,
    ) -> None:
        slots, depth = new.slots, self._depth
        filled = np.minimum(stops - origins, depth)
        places = np.maximum(stops[:, None] - depth + np.arange(depth), 0)
        self._rows[slots] = rows[places]
        self._offsets[slots] = offsets[places]
        self._filled[slots] = filled
        self._oldest[slots] = offsets[stops - filled]
        self._last_ts[slots] = new.ts_ns[lasts]

    def _runs(self, new: _Sorted, warm: Bools) -> list[tuple[str, int, int]]:
        scored = np.concatenate(([0], np.cumsum(warm)))
        starts, stops = scored[new.firsts], scored[new.firsts + new.sizes]
        return [
            (self._names[slot], start, stop)
            for slot, start, stop in zip(
                new.slots.tolist(), starts.tolist(), stops.tolist(), strict=True
            )
            if stop > start
        ]


def _by_sensor(slots: Int64s, readings: Readings, record_offsets: Int64s) -> _Sorted:
    """Sort a batch's readings by sensor, stable, so that each sensor keeps its arrival order."""
    counts = readings.counts
    of_reading = np.repeat(slots, counts)
    order = np.argsort(of_reading, kind="stable")
    indices = np.arange(len(of_reading)) - np.repeat(np.cumsum(counts) - counts, counts)
    touched, sizes = np.unique(of_reading, return_counts=True)
    return _Sorted(
        slots=touched,
        sizes=sizes.astype(np.int64),
        ts_ns=readings.ts_ns[order],
        offsets=np.repeat(record_offsets, counts)[order],
        indices=indices[order],
        values=readings.values[order],
        restarts=np.zeros(len(order), np.bool_),
    )


def _elapsed(ts_ns: Int64s, before: Int64s) -> Int64s:
    """Nanoseconds since the reading before; 1 where there was none."""
    first = before == _NEVER  # its difference would overflow
    elapsed: Int64s = np.where(first, 1, ts_ns - np.where(first, 0, before))
    return elapsed


def _where(arrived: _Sorted, *, restarts: Bools, keep: Bools | None = None) -> _Sorted:
    """The readings to keep (all by default), with their restarts marked."""
    if keep is None:
        return replace(arrived, restarts=restarts)
    kept = np.add.reduceat(keep.astype(np.int64), arrived.firsts)
    touched = kept > 0
    return _Sorted(
        slots=arrived.slots[touched],
        sizes=kept[touched],
        ts_ns=arrived.ts_ns[keep],
        offsets=arrived.offsets[keep],
        indices=arrived.indices[keep],
        values=arrived.values[keep],
        restarts=restarts[keep],
    )
