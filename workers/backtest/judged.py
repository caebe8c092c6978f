"""What incidents were worth, where labels say what was true: counted as an operator counts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from detector.signal.series import true_runs
from workers.backtest.backtest import ScoredSensor
from workers.backtest.incidents import SensorAlarms

EARLY_ROWS = 16
"""An incident that opens fewer rows than this before an event is the event's, not false."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Counts over sensors; add two to pool them.

    Attributes:
        incidents: all of them.
        false: those that opened outside of events, `EARLY_ROWS` or more before the next.
        events: labelled stretches with a scored row.
        found: of these, with a row in alarm, whenever that alarm opened.
        opened: of these, for which an incident opened.
        delays_s: from the start of each such event to the opening; 0 for an early one.
        normal_rows: scored rows without a label.
        normal_alarm_rows: of these, in alarm.
    """

    incidents: int = 0
    false: int = 0
    events: int = 0
    found: int = 0
    opened: int = 0
    delays_s: tuple[float, ...] = ()
    normal_rows: int = 0
    normal_alarm_rows: int = 0

    def __add__(self, other: Judged) -> Judged:
        names = (one.name for one in fields(self))
        return Judged(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def median_delay_s(self) -> float | None:
        """None without an event for which an incident opened."""
        return float(np.median(self.delays_s)) if self.delays_s else None

    @property
    def normal_alarm_share(self) -> float:
        """Share of the normal rows that lie in an incident."""
        return self.normal_alarm_rows / max(self.normal_rows, 1)


def judge(one: ScoredSensor, alarms: SensorAlarms) -> Judged:
    """Compare the incidents of a sensor with its labels; without labels all rows count as normal.

    Without labels `false` is every incident: what a healthy stretch may show of them.
    """
    labels = np.zeros(len(one.ts_ns), np.bool_) if one.labels is None else one.labels
    normal = one.scored & ~labels
    events = [(a, b) for a, b in true_runs(labels).tolist() if one.scored[a:b].any()]
    openings = np.array([incident.opened for incident in alarms.incidents], dtype=np.int64)
    delays, found = [], 0
    for start, end in events:
        found += bool(alarms.alarm[start:end].any())
        own = openings[(openings > start - EARLY_ROWS) & (openings < end)]
        if len(own):
            delays.append(max(int(one.ts_ns[own[0]] - one.ts_ns[start]), 0) / 1e9)
    return Judged(
        incidents=len(openings),
        false=sum(_is_false(row, events, labels) for row in openings.tolist()),
        events=len(events),
        found=found,
        opened=len(delays),
        delays_s=tuple(delays),
        normal_rows=int(np.count_nonzero(normal)),
        normal_alarm_rows=int(np.count_nonzero(normal & alarms.alarm)),
    )


def _is_false(row: int, events: Sequence[tuple[int, int]], labels: np.ndarray) -> bool:
    soon = any(0 <= start - row < EARLY_ROWS for start, _ in events)
    return not (labels[row] or soon)
