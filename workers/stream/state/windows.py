"""The last R-1 readings of many sensors, in arrays with one slot a sensor. Pure.

Each slot is a ring of R-1 rows, so that a new reading costs the writing of one row. Only who asks
for whole sequences (`extend`) pays for reading the window too; a replay does not (`append`).

Carries out the policies of `workers.stream.state.partition` by array operations over whole batches;
who has which slot, and what is forgotten, is the business of `workers.stream.state.history`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.stream.state.arrivals import Arrivals, Bools, Float64s, Int64s

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
        # Place of the next reading in the ring, and how many before it belong to the window.
        self._head = np.zeros(capacity, np.int64)
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
        return (
            self._rows,
            self._offsets,
            self._head,
            self._filled,
            self._oldest,
            self._last_ts,
        )

    @property
    def capacity(self) -> int:
        """Number of slots that there is memory for."""
        return len(self._filled)

    @property
    def oldest(self) -> Int64s:
        """Offset of each window's oldest reading, by slot; a view."""
        return self._oldest[: self.used]

    def newest(self, slots: Int64s) -> Int64s:
        """Offset of the newest reading of these windows."""
        return self._offsets[slots, self._head[slots] - 1]

    def cut(self, slots: Int64s, offset: int) -> None:
        """Drop what lies before an offset; each of these windows has something from it on."""
        # How long ago each place of the ring was written, 0 for the newest.
        age = (self._head[slots][:, None] - 1 - np.arange(self._depth)) % self._depth
        held = age < self._filled[slots][:, None]
        self._filled[slots] = (held & (self._offsets[slots] >= offset)).sum(axis=1)
        self._note_oldest(slots)

    def _note_oldest(self, slots: Int64s) -> None:
        places = (self._head[slots] - self._filled[slots]) % self._depth
        self._oldest[slots] = self._offsets[slots, places]

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
        filled, head = self._filled[slots], self._head[slots]
        stops = np.cumsum(filled + new.sizes)
        starts = stops - filled - new.sizes
        # A window lies in its ring in up to two pieces: the end of the ring, then its beginning.
        # With the new readings' place, which is filled below, that is three pieces a sensor.
        first = np.minimum(filled, np.maximum(filled - head, 0))
        lengths = np.stack((first, filled - first, new.sizes), axis=1).ravel()
        sources = np.stack((head - filled + depth, head - filled + first, head), axis=1)
        sources = (sources + slots[:, None] * depth).ravel()
        places = np.arange(stops[-1] if len(stops) else 0)
        places += np.repeat(sources - np.cumsum(lengths) + lengths, lengths)
        ring = self._rows.reshape(-1, self._channels)
        rows = ring.take(places, axis=0, mode="clip")  # "raise" would look at each place first
        at = np.arange(len(new.ts_ns)) + np.repeat(starts + filled - new.firsts, new.sizes)
        rows[at] = new.values

        # Where the current warm-up began: the last restart, or the sequence's first row. Rows
        # ascend over all sensors, so a restart of an earlier sensor lies below this one's start.
        restarted = np.maximum.accumulate(np.where(new.restarts, at, -1))
        origins = np.maximum(restarted, np.repeat(starts, new.sizes))
        self.append(new)
        return Sequences(rows=rows, at=at, warm=at - origins + 1 >= self._field)

    def append(self, new: Arrivals) -> None:
        """Keep the last of each sensor's window and its new readings."""
        slots, sizes, firsts, depth = new.slots, new.sizes, new.firsts, self._depth
        ranks = np.arange(len(new.ts_ns)) - np.repeat(firsts, sizes)
        places = (np.repeat(self._head[slots], sizes) + ranks) % depth
        places += np.repeat(slots * depth, sizes)
        values, offsets = new.values, new.offsets
        if len(sizes) and sizes.max() > depth:  # else no place is written twice
            last = ranks >= np.repeat(sizes - depth, sizes)
            places, values, offsets = places[last], values[last], offsets[last]
        self._rows.reshape(-1, self._channels)[places] = values
        self._offsets.reshape(-1)[places] = offsets
        filled = self._filled[slots] + sizes
        if new.restarts.any():
            restarted = np.maximum.reduceat(np.where(new.restarts, ranks, -1), firsts)
            filled = np.where(restarted >= 0, sizes - restarted, filled)
        self._filled[slots] = np.minimum(filled, depth)
        self._head[slots] = (self._head[slots] + sizes) % depth
        self._last_ts[slots] = new.ts_ns[firsts + sizes - 1]
        self._note_oldest(slots)


def _elapsed(ts_ns: Int64s, before: Int64s) -> NDArray[np.int64]:
    """Nanoseconds since the reading before; 1 where there was none."""
    first = before == _NEVER  # its difference would overflow
    elapsed: Int64s = np.where(first, 1, ts_ns - np.where(first, 0, before))
    return elapsed
