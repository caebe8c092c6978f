"""Drift of a partition's sensors as incidents of a kind of their own. Pure.

The watch looks at epochs of some hundred readings and says when normal operation has left what the
model was calibrated on, and since how many epochs. Where those began is known to within
`MARK_EPOCHS` of them: the sensor's row holds the offsets of the last ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from detector.calibration import drift
from detector.calibration.drift import DriftVerdict, DriftWatch
from schemas.wire.incident import EndReason, IncidentKind, SeenBy
from workers.stream.state.alarm_table import MARK_EPOCHS, MARKS, AlarmTable
from workers.stream.state.incident import IncidentChange, OpenIncident, What
from workers.stream.state.piece import Piece

_MEDIUM = 2


@dataclass(slots=True)
class _Epochs:
    """The epochs of a sensor in a piece.

    Attributes:
        row: of the sensor in the table.
        next: number of the next mark.
        now: epochs closed behind the piece.
        behind: readings that the watch had before the piece.
        rows: readings of an epoch.
        offsets: of the readings that it has of the piece.
    """

    row: Int64[np.ndarray, " 1"]
    next: int
    now: int
    behind: int
    rows: int
    offsets: Int64[np.ndarray, " k"]

    def mark(self, table: AlarmTable, closed: int) -> None:
        """Note where epochs began, up to the one that follows on so many closed ones."""
        while self.next * MARK_EPOCHS <= closed:
            # The reading that closed the epoch before; there is none before the first one.
            closing = max(self.next * MARK_EPOCHS * self.rows - self.behind - 1, 0)
            table.mark(self.row, self.next, int(self.offsets[closing]))
            self.next += 1


class DriftBook:
    """The drifts that stand now, `open` by sensor."""

    def __init__(self, watch: DriftWatch, table: AlarmTable) -> None:
        """None stands."""
        self._watch, self._table = watch, table
        self.open: dict[str, OpenIncident] = {}

    def take(
        self,
        piece: Piece,
        levels: Float64[np.ndarray, " k"],
        unheard: Bool[np.ndarray, " k"] | None,
    ) -> Iterator[IncidentChange]:
        """Watch the readings of a piece.

        Args:
            piece: readings.
            levels: of the long view; NaN where unknown.
            unheard: readings that are off or forgotten; None where none is.
        """
        rows = self._table.rows
        if unheard is not None:
            levels = np.where(unheard, np.nan, levels)
        states = rows["drift"][piece.rows]
        groups = self._table.groups[piece.rows]
        told = self._watch.advance(levels, piece.sizes, groups, states)
        rows["drift"][piece.rows] = told.states
        said: dict[int, list[tuple[int, DriftVerdict | None]]] = {}
        for verdict in told.verdicts:
            said.setdefault(verdict.sensor, []).append((verdict.row, verdict))
        for place, row in told.ended:
            said.setdefault(place, []).append((row, None))
        for place, epochs in self._begun(piece, levels, states, told.states):
            # A verdict looks at the marks as they were at its reading.
            for row, found in sorted(said.get(place, []), key=itemgetter(0)):
                if found is None:
                    name = piece.sensors[place]
                    yield from self.end(name, EndReason.RECOVERED, int(piece.ts_ns[row]))
                else:
                    epochs.mark(self._table, found.closed)
                    yield self._opened(piece, found)
            epochs.mark(self._table, epochs.now)

    def end(self, sensor: str, reason: EndReason, end_ns: int) -> Iterator[IncidentChange]:
        """A drift stands no more; nothing if none does."""
        incident = self.open.pop(sensor, None)
        if incident is not None:
            incident.sequence += 1
            yield IncidentChange(
                sensor=sensor,
                what=What.RESOLVED,
                at_ns=end_ns,
                incident=incident.copy(),
                reason=reason,
                end_ns=end_ns,
            )

    def _opened(self, piece: Piece, verdict: DriftVerdict) -> IncidentChange:
        sensor, place = piece.sensors[verdict.sensor], piece.place(verdict.row)
        since = self._since(int(piece.rows[verdict.sensor]), verdict)
        self.open[sensor] = OpenIncident(
            kind=IncidentKind.DRIFT,
            seen_by=SeenBy.DRIFT,
            first=place,
            opened_ns=place.ts_ns,
            last_ns=place.ts_ns,
            until=place,
            strength=verdict.evidence,
            severity=_MEDIUM,
            change=(since, verdict.epochs),
            sequence=1,
            told_ns=place.ts_ns,
            told_severity=_MEDIUM,
        )
        return IncidentChange(
            sensor=sensor, what=What.OPENED, at_ns=place.ts_ns, incident=self.open[sensor].copy()
        )

    def _since(self, row: int, verdict: DriftVerdict) -> int:
        """Offset at or behind which the change began."""
        marks = self._table.rows["marks"][row]
        number = max(verdict.closed - verdict.epochs, 0) // MARK_EPOCHS
        return int(marks[number % MARKS])

    def _begun(
        self,
        piece: Piece,
        levels: Float64[np.ndarray, " k"],
        before: NDArray[np.float64],
        after: NDArray[np.float64],
    ) -> Iterator[tuple[int, _Epochs]]:
        """The sensors of a piece of which epochs began, or ended: its first one, others."""
        was, filled = drift.epochs_closed(before)
        now, filled_now = drift.epochs_closed(after)
        is_first = (was == 0) & (filled == 0) & ((now > 0) | (filled_now > 0))
        for place in np.flatnonzero((was != now) | is_first).tolist():
            start = int(piece.starts[place])
            stop = start + int(piece.sizes[place])
            yield (
                place,
                _Epochs(
                    row=piece.rows[place : place + 1],
                    next=0 if is_first[place] else int(was[place]) // MARK_EPOCHS + 1,
                    now=int(now[place]),
                    behind=int(was[place]) * self._watch.epoch_rows + int(filled[place]),
                    rows=self._watch.epoch_rows,
                    offsets=piece.offsets[start:stop][np.isfinite(levels[start:stop])],
                ),
            )
