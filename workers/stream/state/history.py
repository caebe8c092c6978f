"""What is known of each sensor: its window, and what of it outlives a stretch of the log. Pure.

See `workers.stream.state.partition` for the policies, `workers.stream.state.state_ttl` for the
stretches.

**The shadow.** At the beginning of a stretch, what is known must become what reading the stretch
before it, cold, would have given: the *shadow*. Keeping a second set of windows for that would cost
as much as the first. But it can be read off the first in all cases but one. Let s be the beginning
of the current stretch. "Last" only grows, so whatever the windows accept, the shadow accepts too:

* all of a sensor's window lies at or behind s: the shadow is equal to it (*converged*);
* none of it does, and no reading came: the shadow knows nothing of the sensor;
* part of it does: the shadow is that part...
* ...unless the sensor's first readings behind s were dropped: the shadow, which knew no "last",
  took them. Such sensors *differ*, and have a window in a real shadow until they converge.

So the shadow is empty but for sensors that were late or doubled just where a stretch began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Readings
from workers.stream.state.arrivals import Arrivals, Bools, Float64s, Int64s, by_sensor
from workers.stream.state.counts import Counts
from workers.stream.state.windows import Accepted, Windows

Int32s = NDArray[np.int32]

_NOWHERE = -1
_COLUMNS = ("groups", "ts_ns", "offsets", "indices")


class Run(NamedTuple):
    """The samples of one sensor that lie together: `start` to `stop`."""

    sensor: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """What one batch adds: the n readings to score, and the sequences that their windows lie in.

    Attributes:
        rows: float64 [T, C], sequence behind sequence: a sensor's history, then its new readings.
        ends: int64 [n], the row of each sample; its window is rows[end-R+1 .. end].
        groups, ts_ns, offsets, indices: [n], calibration group, event time, offset of the record,
            number of the reading within its record.
        runs: the samples of each sensor, in arrival order; a sensor may have several.
        unscored: float64 [m, C], readings that went into a history without being scored: windows to
            come will hold them...
        unscored_offsets: int64 [m], ...and their records.
        counts: what became of the batch's readings.
    """

    rows: Float64s
    ends: Int64s
    groups: Int32s
    ts_ns: Int64s
    offsets: Int64s
    indices: Int64s
    runs: Sequence[Run]
    unscored: Float64s
    unscored_offsets: Int64s
    counts: Counts

    def without_windows(self) -> Samples:
        """The samples by themselves, when nobody has to look at their windows any more."""
        return replace(
            self,
            rows=self.rows[self.ends],
            ends=np.arange(len(self.ends)),
            unscored=self.unscored[:0],
            unscored_offsets=self.unscored_offsets[:0],
        )

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """Several, at least one, as if one batch had given them."""
        if len(parts) == 1:
            return parts[0]
        bases = np.cumsum([0, *(len(part.rows) for part in parts[:-1])]).tolist()
        firsts = np.cumsum([0, *(len(part.ends) for part in parts[:-1])]).tolist()
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in (*_COLUMNS, "rows", "unscored", "unscored_offsets")
        }
        return cls(
            **columns,
            ends=np.concatenate([p.ends + base for p, base in zip(parts, bases, strict=True)]),
            runs=[
                Run(sensor, start + first, stop + first)
                for part, first in zip(parts, firsts, strict=True)
                for sensor, start, stop in part.runs
            ],
            counts=sum((part.counts for part in parts), Counts()),
        )


class SensorWindows:
    """Windows of many sensors, by name, and what of them outlives a stretch."""

    def __init__(
        self,
        *,
        channels: int,
        receptive_field: int,
        max_gap_ns: int,
        group_of: Callable[[str], int],
        stretch: int,
    ) -> None:
        """Begin empty; slots are added as sensors appear.

        Args:
            channels: C.
            receptive_field: R.
            max_gap_ns: a longer silence restarts the warm-up.
            group_of: the calibration group of a sensor.
            stretch: offset at which the current stretch begins; nothing older comes.
        """
        self._group_of = group_of
        self._slot: dict[str, int] = {}
        self._names: list[str] = []
        self._groups = np.zeros(64, np.int32)
        self._new_windows = partial(
            Windows, channels=channels, receptive_field=receptive_field, max_gap_ns=max_gap_ns
        )
        self._windows = self._new_windows()
        self._shadow = self._new_windows()
        self._stretch = stretch
        # By slot, the slot in the shadow of a sensor that differs.
        self._different: dict[int, int] = {}

    @property
    def sensors(self) -> int:
        """Number of sensors known."""
        return len(self._names)

    @property
    def stretch(self) -> int:
        """Offset at which the current stretch begins."""
        return self._stretch

    @property
    def different(self) -> int:
        """Number of sensors with a window of their own in the shadow."""
        return len(self._different)

    @property
    def capacity(self) -> int:
        """Number of windows that there is memory for."""
        return self._windows.capacity + self._shadow.capacity

    def oldest_offset(self, default: int) -> int:
        """Offset of the oldest reading that any window holds; `default` when all are empty."""
        oldest = self._windows.oldest
        return int(min(default, oldest.min())) if len(oldest) else default

    def advance(self, readings: Readings, record_offsets: Int64s) -> Samples:
        """Take readings of one stretch, in arrival order.

        Args:
            readings: m records, n readings.
            record_offsets: int64 [m].
        """
        accepted, of_shadow = self._accept(readings, record_offsets)
        new = accepted.readings
        sequences = self._windows.extend(new)
        warm = sequences.warm
        unscored, unscored_offsets = new.values[~warm], new.offsets[~warm]
        if of_shadow is not None:
            unscored = np.concatenate([unscored, of_shadow.values])
            unscored_offsets = np.concatenate([unscored_offsets, of_shadow.offsets])
        return Samples(
            rows=sequences.rows,
            ends=sequences.at[warm],
            groups=np.repeat(self._groups[new.slots], new.sizes)[warm],
            ts_ns=new.ts_ns[warm],
            offsets=new.offsets[warm],
            indices=new.indices[warm],
            runs=self._runs(new, warm),
            unscored=unscored,
            unscored_offsets=unscored_offsets,
            counts=Counts(
                readings=len(readings),
                scored=int(warm.sum()),
                warming_up=int((~warm).sum()),
                late=accepted.late,
                duplicate=accepted.duplicate,
                gaps=int(new.restarts.sum()),
            ),
        )

    def refill(self, readings: Readings, record_offsets: Int64s) -> None:
        """The same for a replay: nobody wants to score it, so it is several times as fast."""
        self._windows.append(self._accept(readings, record_offsets)[0].readings)

    def _accept(
        self, readings: Readings, record_offsets: Int64s
    ) -> tuple[Accepted, Arrivals | None]:
        """What the windows let through, and what went into the shadow."""
        arrived = by_sensor(self._slots(readings.sensors), readings, record_offsets)
        accepted = self._windows.accept(arrived)
        of_shadow = None
        if self._different or accepted.refused is not None:
            # Before they get in: whether a sensor differs is told by the windows as they were.
            of_shadow = self._feed_shadow(arrived, accepted)
        return accepted, of_shadow

    def turn(self, stretch: int) -> int:
        """Begin a new stretch: forget what reading the one before it, cold, would not know.

        Args:
            stretch: offset at which the new one begins.

        Returns:
            Number of sensors forgotten or cut back.
        """
        windows = self._windows
        begun, self._stretch = self._stretch, stretch
        converged = windows.oldest >= begun
        if converged.all():
            self._drop_shadow()
            return 0
        differing = self._differing(np.flatnonzero(~converged))
        partly = np.flatnonzero(~converged & (self._newest() >= begun))
        windows.cut(np.setdiff1d(partly, differing), begun)
        windows.copy(
            differing,
            self._shadow,
            np.array([self._different[slot] for slot in differing.tolist()], np.int64),
        )
        self._drop_shadow()
        known = self._newest() >= begun
        if not known.all():
            self._keep_only(np.flatnonzero(known))
        return int((~converged).sum())

    def _newest(self) -> Int64s:
        return self._windows.newest(np.arange(self.sensors))

    def _drop_shadow(self) -> None:
        if self._shadow.used:
            self._different, self._shadow = {}, self._new_windows()

    def _differing(self, slots: Int64s) -> Int64s:
        return np.array([s for s in slots.tolist() if s in self._different], np.int64)

    def _keep_only(self, slots: Int64s) -> None:
        self._windows.select(slots)
        self._names = [self._names[slot] for slot in slots.tolist()]
        self._slot = {name: slot for slot, name in enumerate(self._names)}
        groups = self._groups[slots]
        self._groups = np.zeros(max(64, len(slots)), np.int32)
        self._groups[: len(slots)] = groups

    def _feed_shadow(self, arrived: Arrivals, accepted: Accepted) -> Arrivals | None:
        """Feed the sensors that differ, old and new ones; see the module's text."""
        known = self._different
        if accepted.refused is not None:
            refused = arrived.slots[accepted.refused]
            silent = refused[self._windows.newest(refused) < self._stretch]
            for slot in silent.tolist():
                if slot not in known:
                    known[slot] = self._shadow.add()
        if not known:
            return None
        # Who has converged needs no window of its own any more.
        touched = arrived.slots
        for slot in touched[self._windows.oldest[touched] >= self._stretch].tolist():
            known.pop(slot, None)
        in_shadow = np.array([known.get(slot, _NOWHERE) for slot in touched.tolist()], np.int64)
        differs = in_shadow != _NOWHERE
        if not differs.any():
            return None
        fed = self._shadow.accept(arrived.of(differs, in_shadow[differs])).readings
        self._shadow.append(fed)
        return fed

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
        slot = self._windows.add()
        if slot == len(self._groups):
            self._groups = np.concatenate([self._groups, np.zeros_like(self._groups)])
        self._names.append(sensor)
        self._groups[slot] = self._group_of(sensor)
        return slot

    def _runs(self, new: Arrivals, warm: Bools) -> list[Run]:
        scored = np.concatenate(([0], np.cumsum(warm)))
        starts, stops = scored[new.firsts], scored[new.firsts + new.sizes]
        return [
            Run(self._names[slot], start, stop)
            for slot, start, stop in zip(
                new.slots.tolist(), starts.tolist(), stops.tolist(), strict=True
            )
            if stop > start
        ]
