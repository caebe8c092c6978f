"""Drift of one sensor by the definition: every reading that the watch heard is kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from detector.calibration import drift
from schemas.wire.anomaly import Severity
from schemas.wire.event import IncidentEvent
from schemas.wire.incident import Change, Direction, EndReason, Incident, SeenBy
from tests.support.incident_terms import Terms, shown

_MARKS: Final = 5
_EVERY: Final = 16
_ONE: Final = np.array([1])


class DriftTwin:
    """The drift watch of one sensor, and the drift that stands."""

    def __init__(self, terms: Terms, sensor: str) -> None:
        """Nothing has been heard."""
        self._terms, self._sensor = terms, sensor
        self._group = np.array([terms.group_of(sensor)])
        self._state = np.zeros((1, drift.STATE_SIZE))
        self._offsets: list[int] = []  # of the readings that it heard
        self._first: Any = None
        self._verdict: drift.DriftVerdict | None = None
        self._since = 0

    def hear(self, spot: Any, level: float) -> Iterator[IncidentEvent]:
        """Take a reading; NaN is no level."""
        watch = self._terms.watch
        if watch is None:
            return
        if math.isfinite(level) and watch.count[self._group[0]]:  # else it does not listen
            self._offsets.append(spot.offset)
        told = watch.advance(np.array([level]), _ONE, self._group, self._state)
        self._state = told.states
        if told.ended:
            yield from self.leave(EndReason.RECOVERED, spot.ts_ns)
        for verdict in told.verdicts:
            self._first, self._verdict = spot, verdict
            began = max(verdict.closed - verdict.epochs, 0)
            self._since = self._mark(began // _EVERY)
            yield self._event("opened", spot.ts_ns, 1)

    def leave(self, reason: EndReason, end_ns: int) -> Iterator[IncidentEvent]:
        """What stands does so no more."""
        if self._verdict is not None:
            yield self._event("resolved", end_ns, 2, end_ns=end_ns, end_reason=reason)
            self._verdict = None

    def document(self) -> dict[str, Any]:
        """What is recorded of it, unpacked."""
        marks = [0] * _MARKS
        rows = 1 if self._terms.watch is None else self._terms.watch.epoch_rows
        if self._offsets:
            for number in range(len(self._offsets) // (rows * _EVERY) + 1):
                marks[number % _MARKS] = self._mark(number)
        return {
            "drift": shown(self._state[0].tolist()),
            "marks": marks,
            "drifting": self._recorded(),
        }

    def _mark(self, number: int) -> int:
        """Offset of the reading that closed so many times sixteen epochs."""
        assert self._terms.watch is not None
        return self._offsets[max(number * _EVERY * self._terms.watch.epoch_rows - 1, 0)]

    def _event(self, what: str, at_ns: int, sequence: int, **end: Any) -> IncidentEvent:
        return self._terms.event(self._data(end), what, at_ns, sequence)

    def _data(self, end: dict[str, Any]) -> Incident:
        first, verdict = self._first, self._verdict
        assert verdict is not None
        return self._terms.published(
            self._sensor,
            kind="drift",
            opened=(0, 0),
            first=first,
            until=first,
            opened_ns=first.ts_ns,
            last_ns=first.ts_ns,
            readings=0,
            flagged=0,
            peak=0.0,
            mean=0.0,
            p_value=min(1.0 / max(verdict.evidence, 1.0), 1.0),
            severity=Severity.MEDIUM,
            direction=Direction.PATTERN,
            seen_by=SeenBy.DRIFT,
            channels=[],
            change=Change(offset=self._since, epochs=verdict.epochs),
            **end,
        )

    def _recorded(self) -> dict[str, Any] | None:
        first, verdict = self._first, self._verdict
        if verdict is None:
            return None
        return {
            "kind": "drift",
            "seen_by": "drift",
            "first": list(first),
            "opened_ns": first.ts_ns,
            "last_ns": first.ts_ns,
            "until": list(first),
            **dict.fromkeys(("readings", "flagged"), 0),
            **dict.fromkeys(("total", "peak", "charge"), 0.0),
            "strength": verdict.evidence,
            "severity": 2,
            "told": [],
            "latent": [],
            "points": None,
            "raised_by": [],
            "held_back_by": [],
            "suppressed": None,
            "change": [self._since, verdict.epochs],
            "sequence": 1,
            "told_ns": first.ts_ns,
            "told_severity": 2,
        }
