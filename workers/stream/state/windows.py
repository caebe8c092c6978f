"""The last R-1 readings of many sensors, in arrays with one row per sensor. Pure.

Each row is a ring of R-1 readings, so that a new one costs the writing of one place. Only who asks
for whole sequences (`extend`) pays for reading the window too; a restore does not (`append`).

Carries out the policies of `workers.stream.state.partition` by array operations over whole batches;
who has which row, and what is forgotten, is the business of `workers.stream.state.history`.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from workers.stream.state.arrivals import Arrivals

NEVER = np.iinfo(np.int64).min
"""The time of a reading that there was not."""
_NONE = np.iinfo(np.int64).max
_SMALLEST = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What the policies let through.

    Attributes:
        readings: those accepted, their restarts marked.
        dropped: those of the arrivals that were not let through...
        late, duplicate: ...and why, in numbers.
        rejected: sensors of the arrivals of which the very first reading was dropped; None when
            nothing was dropped at all.
    """

    readings: Arrivals
    dropped: Bool[np.ndarray, " k"]
    late: int = 0
    duplicate: int = 0
    rejected: Bool[np.ndarray, " u"] | None = None


class Sequences(NamedTuple):
    """Windows with new readings behind them, one sensor behind the other.

    Attributes:
        values, times: of all readings; event times in nanoseconds.
        at: the place of each new reading among them.
        lengths: how many readings, R at most, belong to the window that ends with it: those since
            the last restart, or since the beginning of its sequence.
    """

    values: Float64[np.ndarray, "t channels"]
    times: Int64[np.ndarray, " t"]
    at: Int64[np.ndarray, " k"]
    lengths: Int64[np.ndarray, " k"]


class Windows:
    """Arrays with one row per sensor; rows are given out in order."""

    def __init__(self, *, channels: int, receptive_field: int, max_gap_ns: int) -> None:
        """Begin without a row."""
        self._channels = channels
        self._field = receptive_field
        # One reading is kept even when R is 1: its time decides what is late.
        self._depth = max(receptive_field - 1, 1)
        self._max_gap_ns = max_gap_ns
        self.used = 0
        self._empty = 0  # rows without a reading yet, mostly for the time of a batch
        self._allocate(_SMALLEST)

    def _allocate(self, capacity: int) -> None:
        self._values = np.zeros((capacity, self._depth, self._channels))
        self._times = np.zeros((capacity, self._depth), np.int64)
        self._offsets = np.zeros((capacity, self._depth), np.int64)
        # Place of the next reading in the ring, and how many before it belong to the window.
        self._head = np.zeros(capacity, np.int64)
        self._filled = np.zeros(capacity, np.int64)
        self._oldest = np.full(capacity, _NONE, np.int64)
        self._first_ts = np.full(capacity, NEVER, np.int64)
        self._last_ts = np.full(capacity, NEVER, np.int64)

    def add(self) -> int:
        """A new row, empty."""
        if self.used == len(self._filled):
            self._select(slice(self.used), 2 * self.used)
        self.used += 1
        self._empty += 1
        return self.used - 1

    def select(self, rows: Int64[np.ndarray, " u"]) -> None:
        """Keep only these rows, renumbered in this order; memory shrinks with them."""
        self._select(rows, max(_SMALLEST, len(rows) + len(rows) // 4))
        self.used = len(rows)
        self._empty = int((self._last_ts[: self.used] == NEVER).sum())

    def _select(self, rows: NDArray[np.int64] | slice, capacity: int) -> None:
        old = self._arrays
        self._allocate(capacity)
        for target, source in zip(self._arrays, old, strict=True):
            kept = source[rows]
            target[: len(kept)] = kept

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (
            self._values,
            self._times,
            self._offsets,
            self._head,
            self._filled,
            self._oldest,
            self._first_ts,
            self._last_ts,
        )

    @property
    def capacity(self) -> int:
        """Number of rows that there is memory for."""
        return len(self._filled)

    @property
    def oldest(self) -> Int64[np.ndarray, " used"]:
        """Offset of each window's oldest reading, by row; a view."""
        return self._oldest[: self.used]

    def newest(self, rows: Int64[np.ndarray, " u"]) -> Int64[np.ndarray, " u"]:
        """Offset of the newest reading of these windows."""
        newest: NDArray[np.int64] = self._offsets[rows, self._head[rows] - 1]
        return newest

    def spans(self, rows: Int64[np.ndarray, " u"]) -> Int64[np.ndarray, "u 2"]:
        """Event time of the first and the last accepted reading, however short the windows are."""
        spans: NDArray[np.int64] = np.stack((self._first_ts[rows], self._last_ts[rows]), axis=1)
        return spans

    def cut(self, rows: Int64[np.ndarray, " u"], offset: int) -> None:
        """Drop what lies before an offset; each of these windows has something from it on."""
        # How long ago each place of the ring was written, 0 for the newest.
        age = (self._head[rows][:, None] - 1 - np.arange(self._depth)) % self._depth
        held = age < self._filled[rows][:, None]
        self._filled[rows] = (held & (self._offsets[rows] >= offset)).sum(axis=1)
        self._note_oldest(rows)

    def _note_oldest(self, rows: NDArray[np.int64]) -> None:
        places = (self._head[rows] - self._filled[rows]) % self._depth
        self._oldest[rows] = self._offsets[rows, places]

    def copy(
        self,
        rows: Int64[np.ndarray, " u"],
        source: Self,
        source_rows: Int64[np.ndarray, " u"],
    ) -> None:
        """Take over windows of another."""
        for mine, theirs in zip(self._arrays, source._arrays, strict=True):
            mine[rows] = theirs[source_rows]

    def accept(self, arrived: Arrivals) -> Accepted:
        """Drop late readings and duplicates; mark the readings that restart a warm-up."""
        ts_ns, firsts = arrived.ts_ns, arrived.firsts
        before = np.empty_like(ts_ns)
        before[1:] = ts_ns[:-1]
        before[firsts] = self._last_ts[arrived.rows]
        elapsed = _elapsed(ts_ns, before)
        dropped = elapsed <= 0
        if not dropped.any():
            restarts = elapsed > self._max_gap_ns
            return Accepted(readings=replace(arrived, restarts=restarts), dropped=dropped)
        # Something goes backward: measure from the latest accepted reading, not the one before.
        for at in np.unique(np.searchsorted(firsts, np.flatnonzero(dropped), side="right")):
            part = slice(firsts[at - 1], firsts[at - 1] + arrived.sizes[at - 1])
            last = self._last_ts[arrived.rows[at - 1]]
            before[part] = np.maximum.accumulate(np.concatenate(([last], ts_ns[part])))[:-1]
        elapsed = _elapsed(ts_ns, before)
        dropped = elapsed <= 0
        return Accepted(
            readings=replace(arrived, restarts=elapsed > self._max_gap_ns).where(~dropped),
            dropped=dropped,
            late=int((elapsed < 0).sum()),
            duplicate=int((elapsed == 0).sum()),
            rejected=dropped[firsts],
        )

    def extend(self, new: Arrivals) -> Sequences:
        """Lay each sensor's window before its new readings, and keep the last of both."""
        depth, rows = self._depth, new.rows
        filled, head = self._filled[rows], self._head[rows]
        stops = np.cumsum(filled + new.sizes)
        starts = stops - filled - new.sizes
        # A window lies in its ring in up to two pieces: the end of the ring, then its beginning.
        # With the new readings' place, which is filled below, that is three pieces per sensor.
        first = np.minimum(filled, np.maximum(filled - head, 0))
        lengths = np.stack((first, filled - first, new.sizes), axis=1).ravel()
        sources = np.stack((head - filled + depth, head - filled + first, head), axis=1)
        sources = (sources + rows[:, None] * depth).ravel()
        places = np.arange(stops[-1] if len(stops) else 0)
        places += np.repeat(sources - np.cumsum(lengths) + lengths, lengths)
        ring = self._values.reshape(-1, self._channels)
        values = ring.take(places, axis=0, mode="clip")  # "raise" would look at each place first
        times = self._times.reshape(-1).take(places, mode="clip")
        at = np.arange(len(new.ts_ns)) + np.repeat(starts + filled - new.firsts, new.sizes)
        values[at], times[at] = new.values, new.ts_ns

        # Where the current warm-up began: the last restart, or the sequence's beginning. Places
        # ascend over all sensors, so a restart of an earlier sensor lies below this one's start.
        restarted = np.maximum.accumulate(np.where(new.restarts, at, -1))
        origins = np.maximum(restarted, np.repeat(starts, new.sizes))
        self.append(new)
        return Sequences(values, times, at, np.minimum(at - origins + 1, self._field))

    def append(self, new: Arrivals) -> None:
        """Keep the last of each sensor's window and its new readings."""
        rows, sizes, firsts, depth = new.rows, new.sizes, new.firsts, self._depth
        ranks = np.arange(len(new.ts_ns)) - np.repeat(firsts, sizes)
        places = (np.repeat(self._head[rows], sizes) + ranks) % depth
        places += np.repeat(rows * depth, sizes)
        values, times, offsets = new.values, new.ts_ns, new.offsets
        if len(sizes) and sizes.max() > depth:  # else no place is written twice
            last = ranks >= np.repeat(sizes - depth, sizes)
            places, values = places[last], values[last]
            times, offsets = times[last], offsets[last]
        self._values.reshape(-1, self._channels)[places] = values
        self._times.reshape(-1)[places] = times
        self._offsets.reshape(-1)[places] = offsets
        filled = self._filled[rows] + sizes
        if new.restarts.any():
            restarted = np.maximum.reduceat(np.where(new.restarts, ranks, -1), firsts)
            filled = np.where(restarted >= 0, sizes - restarted, filled)
        self._filled[rows] = np.minimum(filled, depth)
        self._head[rows] = (self._head[rows] + sizes) % depth
        if self._empty:
            begun = self._last_ts[rows] == NEVER
            self._first_ts[rows[begun]] = new.ts_ns[firsts[begun]]
            self._empty -= int(begun.sum())
        self._last_ts[rows] = new.ts_ns[firsts + sizes - 1]
        self._note_oldest(rows)


def _elapsed(ts_ns: NDArray[np.int64], before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nanoseconds since the reading before; 1 where there was none."""
    first = before == NEVER  # its difference would overflow
    elapsed: NDArray[np.int64] = np.where(first, 1, ts_ns - np.where(first, 0, before))
    return elapsed
