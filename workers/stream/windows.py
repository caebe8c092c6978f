"""The last R-1 readings of many sensors, in arrays with one slot a sensor. Pure.

Carries out the policies of `workers.stream.partition` by array operations over whole batches; who
has which slot, and what is forgotten, is the business of `workers.stream.history`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.stream.arrivals import Arrivals, Bools, Float64s, Int64s

_NEVER = np.iinfo(np.int64).min
_NONE = np.iinfo(np.int64).max
_SMALLEST = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What the policies let through.

    Args:
        readings: those accepted, their restarts marked.
        late, duplicate: numbers of those dropped.
        refused: [u], sensors of the arrivals of which the very first reading was dropped; None when
            nothing was dropped at all.
    """

    readings: Arrivals
    late: int
    duplicate: int
    refused: Bools | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequences:
    """Each sensor's window and its new readings, one behind the other.

    Args:
        rows: float64 [T, C].
        at: [k], the row of each new reading.
        warm: [k], whether a whole window ends with it.
    """

    rows: Float64s
    at: Int64s
    warm: Bools


class Windows:
    """Arrays with one slot a sensor; slots are given out in order."""

    def __init__(self, *, channels: int, receptive_field: int, max_gap_ns: int) -> None:
        """Begin without a slot."""
        self._channels = channels
        self._field = receptive_field
        # One reading is kept even when R is 1: its time decides what is late.
        self._depth = max(receptive_field - 1, 1)
        self._max_gap_ns = max_gap_ns
        self.used = 0
        self._allocate(_SMALLEST)

    def _allocate(self, capacity: int) -> None:
        self._rows = np.zeros((capacity, self._depth, self._channels))
        self._offsets = np.zeros((capacity, self._depth), np.int64)
        self._filled = np.zeros(capacity, np.int64)
        self._oldest = np.full(capacity, _NONE, np.int64)
        self._last_ts = np.full(capacity, _NEVER, np.int64)

    def add(self) -> int:
        """A new slot, empty."""
        if self.used == len(self._filled):
            self._select(slice(self.used), 2 * self.used)
        self.used += 1
        return self.used - 1

    def select(self, slots: Int64s) -> None:
        """Keep only these slots, renumbered in this order; memory shrinks with them."""
        self._select(slots, max(_SMALLEST, len(slots) + len(slots) // 4))
        self.used = len(slots)

    def _select(self, slots: Int64s | slice, capacity: int) -> None:
        old = self._arrays
        self._allocate(capacity)
        for target, source in zip(self._arrays, old, strict=True):
            kept = source[slots]
            target[: len(kept)] = kept

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self._rows, self._offsets, self._filled, self._oldest, self._last_ts

    @property
    def capacity(self) -> int:
        """Number of slots that there is memory for."""
        return len(self._filled)

    @property
    def oldest(self) -> Int64s:
        """Offset of each window's oldest reading, by slot; a view."""
        return self._oldest[: self.used]

    @property
    def newest(self) -> Int64s:
        """Offset of each window's newest reading, by slot; a view."""
        return self._offsets[: self.used, -1]

    def cut(self, slots: Int64s, offset: int) -> None:
        """Drop what lies before an offset; each of these windows has something from it on."""
        # What lies left of a window, where it is not full, is anything at all.
        held = np.arange(self._depth) >= (self._depth - self._filled[slots])[:, None]
        filled = (held & (self._offsets[slots] >= offset)).sum(axis=1)
        self._filled[slots] = filled
        self._oldest[slots] = self._offsets[slots, self._depth - filled]

    def copy(self, slots: Int64s, source: Windows, source_slots: Int64s) -> None:
        """Take over windows of another."""
        for mine, theirs in zip(self._arrays, source._arrays, strict=True):
            mine[slots] = theirs[source_slots]

    def accept(self, arrived: Arrivals) -> Accepted:
        """Drop late readings and duplicates; mark the readings that restart a warm-up."""
        ts_ns, firsts = arrived.ts_ns, arrived.firsts
        before = np.empty_like(ts_ns)
        before[1:] = ts_ns[:-1]
        before[firsts] = self._last_ts[arrived.slots]
        elapsed = _elapsed(ts_ns, before)
        if (elapsed > 0).all():
            return Accepted(
                readings=arrived.marked(elapsed > self._max_gap_ns),
                late=0,
                duplicate=0,
                refused=None,
            )
        # Something goes backward: measure from the latest accepted reading, not the one before.
        for at in np.unique(np.searchsorted(firsts, np.flatnonzero(elapsed <= 0), side="right")):
            part = slice(firsts[at - 1], firsts[at - 1] + arrived.sizes[at - 1])
            last = self._last_ts[arrived.slots[at - 1]]
            before[part] = np.maximum.accumulate(np.concatenate(([last], ts_ns[part])))[:-1]
        elapsed = _elapsed(ts_ns, before)
        return Accepted(
            readings=arrived.marked(elapsed > self._max_gap_ns).where(elapsed > 0),
            late=int((elapsed < 0).sum()),
            duplicate=int((elapsed == 0).sum()),
            refused=elapsed[firsts] <= 0,
        )

    def extend(self, new: Arrivals) -> Sequences:
        """Lay each sensor's window before its new readings, and keep the last of both."""
        depth, slots = self._depth, new.slots
        filled = self._filled[slots]
        lengths = filled + new.sizes
        stops = np.cumsum(lengths)
        starts = stops - lengths
        total = int(stops[-1]) if len(stops) else 0
        rows = np.empty((total, self._channels))
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
        lasts = np.cumsum(new.sizes) - 1
        self._keep(new, rows, offsets, stops=stops, origins=origins[lasts], lasts=lasts)
        return Sequences(rows=rows, at=at, warm=at - origins + 1 >= self._field)

    def _keep(
        self,
        new: Arrivals,
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


def _elapsed(ts_ns: Int64s, before: Int64s) -> NDArray[np.int64]:
    """Nanoseconds since the reading before; 1 where there was none."""
    first = before == _NEVER  # its difference would overflow
    elapsed: Int64s = np.where(first, 1, ts_ns - np.where(first, 0, before))
    return elapsed
