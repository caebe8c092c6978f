"""The books of the demo: what came out for each reading that went in. Pure.

`Ledger` takes the records of the output topics as they come, in any order, repeats included, and
keeps one byte a reading, so that a show may go on for hours; the cleaned values are kept for the
last rows only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from schemas.wire.anomaly import Anomaly
from schemas.wire.dead_letter import DeadLetter
from schemas.wire.denoised import DenoisedFrame
from schemas.wire.event import DeedEvent, IncidentEvent
from workers.stream.histogram import LatencyHistogram

ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

SCORED, FLAGGED, ALARMED = 1, 2, 4
"""Bits: a score came; it is at or over 1; an anomaly came."""

_FIRST_ROWS = 1_024


class Happened(NamedTuple):
    """Something that happened to an incident."""

    type: str
    incident: UUID
    stamp_ms: int  # of its record (epoch)


@dataclass(kw_only=True)
class Ledger:
    """What came out."""

    machines: tuple[str, ...]  # the columns of the books
    channels: tuple[str, ...]
    start_ns: int  # event time of row 0
    interval_ns: int
    kept_rows: int  # whose scores and cleaned values are kept
    repeats: int = 0  # outputs that had come before; an id makes them harmless
    dead_letters: set[tuple[int, int]] = field(default_factory=set)  # partition and offset
    incidents: dict[UUID, IncidentEvent] = field(default_factory=dict)  # what was told last of each
    incident_events: dict[str, Happened] = field(default_factory=dict)  # all of them, by id
    anomalies_of: Counter[UUID] = field(default_factory=Counter)  # that carry an incident's id
    heeded: set[UUID] = field(default_factory=set)  # wishes that hold
    # From event time to the record of the cleaned reading.
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)

    def __post_init__(self) -> None:
        """Open the books."""
        self._columns = {machine: place for place, machine in enumerate(self.machines)}
        self._books: ByteArray = np.zeros((_FIRST_ROWS, len(self.machines)), np.uint8)
        self._rows = 0
        self._scores = np.full((self.kept_rows, len(self.machines)), np.nan, np.float32)
        self._clean = np.full((*self._scores.shape, len(self.channels)), np.nan)
        self._kept = np.full(self._scores.shape, -1, np.int64)

    def rows(self, ts_ns: Sequence[int]) -> npt.NDArray[np.int64]:
        """The rows of some event times.

        Raises:
            ValueError: a time that is no row's.
        """
        since = np.asarray(ts_ns, np.int64) - self.start_ns
        rows: npt.NDArray[np.int64]
        rows, rest = np.divmod(since, self.interval_ns)
        if rest.any() or (rows < 0).any():
            raise ValueError("an output carries a time at which no reading was sent")
        return rows

    def row(self, ts_ns: int) -> int:
        """The row of one event time; raises as `rows` does."""
        return int(self.rows([ts_ns])[0])

    def add_denoised(self, frame: DenoisedFrame, *, stamp_ms: int) -> None:
        """Enter scores and cleaned values of a record stamped at `stamp_ms` (epoch)."""
        rows, machine = self.rows(frame.ts_ns), self._columns[frame.sensor_id]
        scores = np.array(frame.score, np.float64)
        self._enter(rows, machine, np.where(scores >= 1.0, SCORED | FLAGGED, SCORED))
        place = rows % self.kept_rows
        self._scores[place, machine] = scores
        self._kept[place, machine] = rows
        for channel, name in enumerate(self.channels):
            self._clean[place, machine, channel] = frame.values[name]
        self.latency.observe_all(stamp_ms - np.array(frame.ts_ns, np.float64) / 1e6)

    def add_anomaly(self, anomaly: Anomaly) -> None:
        """Enter one flagged reading."""
        row = self.rows([anomaly.ts_ns])
        repeats = self.repeats
        self._enter(row, self._columns[anomaly.sensor_id], np.array([ALARMED]))
        if anomaly.incident is not None and self.repeats == repeats:
            self.anomalies_of[anomaly.incident] += 1

    def add_incident(self, event: IncidentEvent, *, stamp_ms: int = 0) -> None:
        """Enter what happened to an incident; what is known already, or outdated, changes nothing.

        The one that was told of last comes last.
        """
        self.repeats += event.id in self.incident_events
        happened = Happened(event.type, event.data.id, stamp_ms)
        self.incident_events.setdefault(event.id, happened)
        before = self.incidents.get(event.data.id)
        if before is None or event.sequence > before.sequence:
            self.incidents.pop(event.data.id, None)
            self.incidents[event.data.id] = event

    def add_deed(self, event: DeedEvent) -> None:
        """Enter a wish that was heeded."""
        if event.type == "wish.heeded":
            self.heeded.add(event.data.wish_id)

    def add_dead_letter(self, letter: DeadLetter) -> None:
        """Enter one record that could not be read."""
        place = (letter.partition, letter.offset)
        self.repeats += place in self.dead_letters
        self.dead_letters.add(place)

    def books(self, rows: int) -> ByteArray:
        """The bits of every reading, [at least `rows`, machines]: to the last row entered."""
        self._grow(rows)
        return self._books[: max(rows, self._rows)]

    def outputs(self, rows: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Scores [n, M] and cleaned values [n, M, C] of some rows, NaN where nothing came.

        Args:
            rows: among the last `kept_rows`; of older ones nothing is known any more.
        """
        place = rows % self.kept_rows
        known = self._kept[place] == rows[:, None]
        scores = np.where(known, self._scores[place], np.nan).astype(np.float64)
        return scores, np.where(known[:, :, None], self._clean[place], np.nan)

    def _enter(
        self, rows: npt.NDArray[np.int64], machine: int, bits: npt.NDArray[np.int64]
    ) -> None:
        self._rows = max(self._rows, int(rows.max()) + 1)
        self._grow(self._rows)
        before = self._books[rows, machine]
        self.repeats += int(np.count_nonzero(before & bits & (SCORED | ALARMED)))
        self._books[rows, machine] = before | bits.astype(np.uint8)

    def _grow(self, rows: int) -> None:
        if rows > len(self._books):
            more = max(rows - len(self._books), len(self._books))
            self._books = np.pad(self._books, ((0, more), (0, 0)))
