"""What incidents were worth, where labels say what was true: counted as an operator counts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from detector.evaluation import EARLY_ROWS, false_openings
from detector.signal.series import true_runs
from workers.backtest.backtest import ScoredSensor
from workers.backtest.incidents import FoundIncident


@dataclass(frozen=True, kw_only=True)
class LabelCounts:
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

    def __add__(self, other: LabelCounts) -> LabelCounts:
        names = (one.name for one in fields(self))
        return LabelCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def median_delay_s(self) -> float | None:
        """None without an event for which an incident opened."""
        return float(np.median(self.delays_s)) if self.delays_s else None

    @property
    def normal_alarm_share(self) -> float:
        """Share of the normal rows that lie in an incident."""
        return self.normal_alarm_rows / max(self.normal_rows, 1)


def judge(one: ScoredSensor) -> LabelCounts:
    """Compare the incidents of a sensor with its labels; without labels all rows count as normal.

    Without labels `false` is every incident: what a healthy stretch may show of them. An incident
    that is suppressed, nobody is told of: it finds nothing, and is not false.
    """
    labels = _labels(one)
    normal = one.scored & ~labels
    events = [(a, b) for a, b in true_runs(labels).tolist() if one.scored[a:b].any()]
    openings = np.array([each.opened for each in one.incidents if is_told(each)], dtype=np.int64)
    alarm = one.alarm.copy()
    for each in one.incidents:
        if not is_told(each):
            alarm[each.first : each.until + 1] = False
    delays, found = [], 0
    for start, end in events:
        found += bool(alarm[start:end].any())
        own = openings[(openings > start - EARLY_ROWS) & (openings < end)]
        if len(own):
            delays.append(max(int(one.ts_ns[own[0]] - one.ts_ns[start]), 0) / 1e9)
    return LabelCounts(
        incidents=len(openings),
        false=sum(false_incidents(one)),
        events=len(events),
        found=found,
        opened=len(delays),
        delays_s=tuple(delays),
        normal_rows=int(np.count_nonzero(normal)),
        normal_alarm_rows=int(np.count_nonzero(normal & alarm)),
    )


def false_incidents(one: ScoredSensor) -> Sequence[bool]:
    """Whether each incident of a sensor is false by its labels; without labels all told of are."""
    openings = np.array([incident.opened for incident in one.incidents], dtype=np.int64)
    false = false_openings(openings, _labels(one)).tolist()
    return [each and is_told(of) for each, of in zip(false, one.incidents, strict=True)]


def is_told(incident: FoundIncident) -> bool:
    """Whether anybody is told of an incident: not of one that is suppressed."""
    return incident.told.suppressed is None


def _labels(one: ScoredSensor) -> npt.NDArray[np.bool_]:
    return np.zeros(len(one.ts_ns), np.bool_) if one.labels is None else one.labels
