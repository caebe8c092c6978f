"""What is known of each sensor: its window, and what of it outlives a TTL window. Pure.

See `workers.stream.state.partition` for the policies, `workers.stream.state.state_ttl` for the TTL
windows of the log; a sensor's window is R-1 readings.

**The shadow.** When a TTL window begins, what is known must become what reading the one before it,
cold, would have given: the *shadow*. Keeping a second set of windows for that would cost as much as
the first. But it can be read off the first in all cases but one. Let s be the beginning of the
current TTL window. "Last" only grows, so whatever the windows accept, the shadow accepts too:

* all of a sensor's window lies at or behind s: the shadow is equal to it (*converged*);
* none of it does, and no reading came: the shadow knows nothing of the sensor;
* part of it does: the shadow is that part...
* ...unless the sensor's first readings behind s were dropped: the shadow, which knew no "last",
  took them. Such sensors *differ*, and have a window in a real shadow until they converge.

So the shadow is empty but for sensors that were late or doubled just where a TTL window began.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64
from numpy.typing import NDArray

from schemas.columns import Readings
from workers.stream.state.arrivals import Arrivals, by_sensor
from workers.stream.state.counts import Counts
from workers.stream.state.recorded import Met
from workers.stream.state.sensor_spans import SensorSample, SensorSpans
from workers.stream.state.windows import NEVER, Accepted, Windows

_NOWHERE = -1
_COLUMNS = ("groups", "ts_ns", "offsets", "indices", "lengths")


class Run(NamedTuple):
    """The samples of one sensor that lie together: `start` to `stop`."""

    sensor: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """What one batch adds: the n readings to score, and the sequences that their windows lie in.

    Attributes:
        rows: sequence behind sequence: a sensor's window, then its new readings.
        times: event time of each row.
        ends: the row of each sample...
        lengths: ...and how many readings, warm-up to R, its window has: what it is scored by is
            rows[end-length+1 .. end]. Shorter than R is a window that a restart began, or the
            beginning of what is known.
        groups, ts_ns, offsets, indices: calibration group, event time, offset of the record, number
            of the reading within its record.
        runs: the samples of each sensor, in arrival order; a sensor may have several.
        unscored: readings that went into a window without being scored: samples to come will be
            scored by them...
        unscored_offsets: ...and their records.
        counts: what became of the batch's readings.
        met: the same reading by reading, also of those that are not scored; a piece per TTL window.
    """

    rows: Float64[np.ndarray, "t channels"]
    times: Int64[np.ndarray, " t"]
    ends: Int64[np.ndarray, " n"]
    lengths: Int64[np.ndarray, " n"]
    groups: Int32[np.ndarray, " n"]
    ts_ns: Int64[np.ndarray, " n"]
    offsets: Int64[np.ndarray, " n"]
    indices: Int64[np.ndarray, " n"]
    runs: Sequence[Run]
    unscored: Float64[np.ndarray, "m channels"]
    unscored_offsets: Int64[np.ndarray, " m"]
    counts: Counts
    met: Sequence[Met]

    def without_windows(self) -> "Samples":
        """The samples by themselves, when nobody has to look at their windows any more."""
        return replace(
            self,
            rows=self.rows[self.ends],
            times=self.times[self.ends],
            ends=np.arange(len(self.ends)),
            unscored=self.unscored[:0],
            unscored_offsets=self.unscored_offsets[:0],
            met=(),
        )

    @classmethod
    def joined(cls, parts: Sequence["Samples"]) -> "Samples":
        """Several, at least one, as if one batch had given them."""
        if len(parts) == 1:
            return parts[0]
        bases = np.cumsum([0, *(len(part.rows) for part in parts[:-1])]).tolist()
        firsts = np.cumsum([0, *(len(part.ends) for part in parts[:-1])]).tolist()
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in (*_COLUMNS, "rows", "times", "unscored", "unscored_offsets")
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
            met=[met for part in parts for met in part.met],
        )


class SensorWindows:
    """Windows of many sensors, by name, and what of them outlives a TTL window."""

    def __init__(
        self,
        *,
        channels: int,
        receptive_field: int,
        warm_up: int,
        max_gap_ns: int,
        group_of: Callable[[str], int],
        begins_at: int,
    ) -> None:
        """Begin empty; rows are added as sensors appear.

        Args:
            channels: C.
            receptive_field: R.
            warm_up: readings of a window with which a sensor is scored, 1..R.
            max_gap_ns: a longer silence restarts the warm-up.
            group_of: the calibration group of a sensor.
            begins_at: offset at which the current TTL window begins; nothing older comes.
        """
        self._group_of = group_of
        self._field, self._warm_up = receptive_field, warm_up
        self._row: dict[str, int] = {}
        self._names: list[str] = []
        self._sample = SensorSample()
        self._groups = np.zeros(64, np.int32)
        self._new_windows = partial(
            Windows, channels=channels, receptive_field=receptive_field, max_gap_ns=max_gap_ns
        )
        self._windows = self._new_windows()
        self._shadow = self._new_windows()
        self._begins_at = begins_at
        # By row, the row in the shadow of a sensor that differs.
        self._different: dict[int, int] = {}

    @property
    def sensors(self) -> int:
        """Number of sensors known."""
        return len(self._names)

    @property
    def begins_at(self) -> int:
        """Offset at which the current TTL window begins."""
        return self._begins_at

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

    def spans(self, most: int) -> SensorSpans:
        """When at most `most` sensors came, for `split_sensors`."""
        rows = np.array(self._sample.rows(self._names, most), np.int64)
        times_ns = self._windows.spans(rows)
        began = times_ns[:, 0] != NEVER  # else its records were all without a reading
        names = self._names
        return SensorSpans(
            share=self._sample.share,
            sensors=tuple(names[row] for row in rows[began].tolist()),
            times_ns=times_ns[began],
        )

    def advance(
        self,
        readings: Readings,
        record_offsets: Int64[np.ndarray, " m"],
        clock_ms: Int64[np.ndarray, " m"],
        *,
        kept_from: int,
        before_ms: int,
    ) -> Samples:
        """Take the readings of m records of one TTL window, in arrival order.

        Args:
            readings: of these records.
            record_offsets: of each, ascending.
            clock_ms: log time at each.
            kept_from: where the TTL window before this one begins.
            before_ms: log time before them.
        """
        arrived = by_sensor(self._rows_of(readings.sensors), readings, record_offsets)
        accepted, of_shadow = self._accept(arrived)
        new = accepted.readings
        sequences = self._windows.extend(new)
        warm = sequences.lengths >= self._warm_up
        lengths = sequences.lengths[warm]
        scored = ~accepted.dropped
        scored[scored] = warm
        unscored, unscored_offsets = new.values[~warm], new.offsets[~warm]
        if of_shadow is not None:
            unscored = np.concatenate([unscored, of_shadow.values])
            unscored_offsets = np.concatenate([unscored_offsets, of_shadow.offsets])
        return Samples(
            rows=sequences.values,
            times=sequences.times,
            ends=sequences.at[warm],
            lengths=lengths,
            groups=np.repeat(self._groups[new.rows], new.sizes)[warm],
            ts_ns=new.ts_ns[warm],
            offsets=new.offsets[warm],
            indices=new.indices[warm],
            runs=self._runs(new, warm),
            unscored=unscored,
            unscored_offsets=unscored_offsets,
            counts=Counts(
                readings=len(readings),
                scored=int(warm.sum()),
                scored_partially=int((lengths < self._field).sum()),
                warming_up=int((~warm).sum()),
                late=accepted.late,
                duplicate=accepted.duplicate,
                gaps=int(new.restarts.sum()),
            ),
            met=[
                Met(
                    kept_from=kept_from,
                    sensors=[self._names[row] for row in arrived.rows.tolist()],
                    sizes=arrived.sizes,
                    offsets=arrived.offsets,
                    scored=scored,
                    dropped=accepted.dropped,
                    kept=new,
                    kept_sensors=[self._names[row] for row in new.rows.tolist()],
                    before_ms=before_ms,
                    clock_ms=clock_ms[np.searchsorted(record_offsets, new.offsets)],
                )
            ],
        )

    def refill(self, readings: Readings, record_offsets: Int64[np.ndarray, " m"]) -> None:
        """The same for a restore: nothing of it is scored, so it is several times as fast."""
        arrived = by_sensor(self._rows_of(readings.sensors), readings, record_offsets)
        self._windows.append(self._accept(arrived)[0].readings)

    def _accept(self, arrived: Arrivals) -> tuple[Accepted, Arrivals | None]:
        """What the windows let through, and what went into the shadow."""
        accepted = self._windows.accept(arrived)
        of_shadow = None
        if self._different or accepted.rejected is not None:
            # Before they get in: whether a sensor differs is seen by the windows as they were.
            of_shadow = self._feed_shadow(arrived, accepted)
        return accepted, of_shadow

    def roll(self, begins_at: int) -> int:
        """Begin a new TTL window: forget what reading the one before it, cold, would not know.

        Args:
            begins_at: offset at which the new one begins.

        Returns:
            Number of sensors forgotten or cut back.
        """
        windows = self._windows
        begun, self._begins_at = self._begins_at, begins_at
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
            np.array([self._different[row] for row in differing.tolist()], np.int64),
        )
        self._drop_shadow()
        known = self._newest() >= begun
        if not known.all():
            self._keep_only(np.flatnonzero(known))
        return int((~converged).sum())

    def _newest(self) -> NDArray[np.int64]:
        return self._windows.newest(np.arange(self.sensors))

    def _drop_shadow(self) -> None:
        if self._shadow.used:
            self._different, self._shadow = {}, self._new_windows()

    def _differing(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.array([s for s in rows.tolist() if s in self._different], np.int64)

    def _keep_only(self, rows: NDArray[np.int64]) -> None:
        self._windows.select(rows)
        self._names = [self._names[row] for row in rows.tolist()]
        self._sample = SensorSample()
        self._row = {name: row for row, name in enumerate(self._names)}
        groups = self._groups[rows]
        self._groups = np.zeros(max(64, len(rows)), np.int32)
        self._groups[: len(rows)] = groups

    def _feed_shadow(self, arrived: Arrivals, accepted: Accepted) -> Arrivals | None:
        """Feed the sensors that differ, old and new ones; see the module's text."""
        known = self._different
        if accepted.rejected is not None:
            rejected = arrived.rows[accepted.rejected]
            silent = rejected[self._windows.newest(rejected) < self._begins_at]
            for row in silent.tolist():
                if row not in known:
                    known[row] = self._shadow.add()
        if not known:
            return None
        # Who has converged needs no window of its own any more.
        touched = arrived.rows
        for row in touched[self._windows.oldest[touched] >= self._begins_at].tolist():
            known.pop(row, None)
        in_shadow = np.array([known.get(row, _NOWHERE) for row in touched.tolist()], np.int64)
        differs = in_shadow != _NOWHERE
        if not differs.any():
            return None
        fed = self._shadow.accept(arrived.of(differs, in_shadow[differs])).readings
        self._shadow.append(fed)
        return fed

    def _rows_of(self, sensors: list[str]) -> NDArray[np.int64]:
        """The row of each sensor, a new one for a sensor not seen before."""
        known = self._row
        try:
            rows = [known[sensor] for sensor in sensors]
        except KeyError:
            # dict.fromkeys keeps arrival order: rows do not depend on hashing.
            for sensor in dict.fromkeys(sensors):
                if sensor not in known:
                    known[sensor] = self._add(sensor)
            rows = [known[sensor] for sensor in sensors]
        return np.array(rows, np.int64)

    def _add(self, sensor: str) -> int:
        row = self._windows.add()
        if row == len(self._groups):
            self._groups = np.concatenate([self._groups, np.zeros_like(self._groups)])
        self._names.append(sensor)
        self._groups[row] = self._group_of(sensor)
        return row

    def _runs(self, new: Arrivals, warm: NDArray[np.bool_]) -> list[Run]:
        scored = np.concatenate(([0], np.cumsum(warm)))
        starts, stops = scored[new.firsts], scored[new.firsts + new.sizes]
        return [
            Run(self._names[row], start, stop)
            for row, start, stop in zip(
                new.rows.tolist(), starts.tolist(), stops.tolist(), strict=True
            )
            if stop > start
        ]
