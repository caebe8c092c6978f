"""Drift of a partition's sensors as incidents of a kind of their own. Pure.

The watch looks at epochs of some hundred readings and says when normal operation has left what the
model was calibrated on, and since how many epochs. Where those began is known to within
`MARK_EPOCHS` of them: the sensor's row holds the offsets of the last ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from detector.calibration import drift
from detector.calibration.drift import DriftVerdict, DriftWatch
from schemas.wire.incident import EndReason, IncidentKind, SeenBy
from workers.stream.state.alarm_table import MARK_EPOCHS, MARKS, AlarmTable
from workers.stream.state.incident import IncidentChange, OpenIncident, What
from workers.stream.state.piece import Piece

_MEDIUM = 2


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
        self._mark(piece, levels, states, told.states)
        for verdict in told.verdicts:
            yield self._opened(piece, verdict)
        for place, row in told.ended:
            yield from self.end(piece.sensors[place], EndReason.RECOVERED, int(piece.ts_ns[row]))

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

    def _mark(
        self,
        piece: Piece,
        levels: Float64[np.ndarray, " k"],
        before: NDArray[np.float64],
        after: NDArray[np.float64],
    ) -> None:
        """Note where epochs began whose numbers are multiples of MARK_EPOCHS."""
        was, filled = drift.epochs_closed(before)
        now, _ = drift.epochs_closed(after)
        # Without references, no epoch is ever counted.
        is_watched = self._watch.count[self._table.groups[piece.rows]] > 0
        is_new = (was == 0) & (filled == 0) & is_watched
        for place in np.flatnonzero((was // MARK_EPOCHS != now // MARK_EPOCHS) | is_new).tolist():
            start = int(piece.starts[place])
            known = start + np.flatnonzero(
                np.isfinite(levels[start : start + int(piece.sizes[place])])
            )
            row = piece.rows[place : place + 1]
            if is_new[place] and len(known):
                self._table.mark(row, 0, int(piece.offsets[known[0]]))
            first, last = int(was[place]) // MARK_EPOCHS + 1, int(now[place]) // MARK_EPOCHS
            for number in range(first, last + 1):
                epochs = number * MARK_EPOCHS - int(was[place])
                closing = epochs * self._watch.epoch_rows - int(filled[place]) - 1
                self._table.mark(row, number, int(piece.offsets[known[closing]]))
