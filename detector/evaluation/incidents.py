"""What the alarms of one series were worth, counted in incidents as an operator counts them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from detector.evaluation.counts import Mask, Ranges, any_inside, check_pair, ratio
from detector.signal.series import true_runs

MERGE_GAP_ROWS = 16
"""Alarms with fewer rows than this between them are one incident."""
EARLY_ROWS = 16
"""An incident that opens fewer rows than this before an event is the event's, not false."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmCounts:
    """Incidents of one series against its events, on the rows that are judged.

    Attributes:
        asked: false incidents that the budget allows on the normal rows.
        incidents: that open on a judged row, or are open at the first.
        false: those that open on a normal row, `EARLY_ROWS` or more before an event.
        events: runs of labelled rows.
        found: events with at least one row in alarm, whenever that alarm opened.
        opened: events in which, or fewer than `EARLY_ROWS` rows before which, an incident opens.
        delays: rows from the start of each such event to the opening; 0 for an early one.
        alarm_rows: rows in alarm.
        normal_alarm_rows: those of them that are normal.
        normal_rows: rows without a label.
    """

    asked: float
    incidents: int
    false: int
    events: int
    found: int
    opened: int
    delays: Int64[np.ndarray, " opened"]
    alarm_rows: int
    normal_alarm_rows: int
    normal_rows: int

    @property
    def at_most_twice(self) -> bool:
        """No more than twice the budget; one is let pass where less than half a one was asked."""
        return self.false <= max(2.0 * self.asked, 1.0)

    @property
    def within_twice(self) -> bool:
        """Neither more than twice nor less than half of the budget."""
        return self.asked / 2.0 <= self.false <= 2.0 * self.asked

    @property
    def normal_alarm_share(self) -> float:
        """Share of the normal rows that lie in an incident; 0 without normal rows."""
        return ratio(self.normal_alarm_rows, self.normal_rows)


def merged_runs(flags: Mask, *, gap: int = MERGE_GAP_ROWS) -> Ranges:
    """Runs of flagged rows, those with fewer than `gap` rows between them joined."""
    runs = true_runs(flags)
    if len(runs) == 0:
        return runs
    apart = runs[1:, 0] - runs[:-1, 1] >= gap
    first, last = np.append(True, apart), np.append(apart, True)
    joined: Ranges = np.stack([runs[first, 0], runs[last, 1]], axis=1)
    return joined


def count_alarms(incidents: Ranges, labels: Mask, judged: Mask, *, rate: float) -> AlarmCounts:
    """Count what an operator would: false incidents, events found, time in alarm.

    Args:
        incidents: first row and row after the last of each, ascending, apart.
        labels: True where the row is anomalous; also of rows that are not judged.
        judged: rows that count. An incident that is open when the first of them comes counts as
            opening there, so that an alarm that never ends is no loophole.
        rate: false incidents for each normal row that the budget allows, >= 0.

    Raises:
        ValueError: lengths differ, no row is judged, or an incident lies outside.
    """
    check_pair(labels, judged)
    if not judged.any():
        raise ValueError("no row is judged")
    if len(incidents) and (incidents.min() < 0 or incidents.max() > len(labels)):
        raise ValueError(f"incidents must lie in 0..{len(labels)}, got {incidents.tolist()[:3]}")
    first_judged = int(np.argmax(judged))
    seen = incidents[incidents[:, 1] > first_judged]
    alarm = _covered(seen, len(labels)) & judged
    openings = np.maximum(seen[:, 0], first_judged)
    openings = openings[judged[openings]]
    events = true_runs(labels & judged)
    owners = np.searchsorted(openings, events[:, 0] - EARLY_ROWS, side="right")
    padded = np.append(openings, len(labels))
    opened = padded[owners] < events[:, 1]
    normal = judged & ~labels
    return AlarmCounts(
        asked=rate * int(np.count_nonzero(normal)),
        incidents=len(openings),
        false=int(np.count_nonzero(false_openings(openings, labels))),
        events=len(events),
        found=int(np.count_nonzero(any_inside(events, alarm))),
        opened=int(np.count_nonzero(opened)),
        delays=np.maximum(padded[owners] - events[:, 0], 0)[opened],
        alarm_rows=int(np.count_nonzero(alarm)),
        normal_alarm_rows=int(np.count_nonzero(alarm & normal)),
        normal_rows=int(np.count_nonzero(normal)),
    )


def _covered(ranges: Ranges, n_rows: int) -> Mask:
    """The rows inside the ranges."""
    steps = np.zeros(n_rows + 1, dtype=np.int64)
    np.add.at(steps, ranges[:, 0], 1)
    np.add.at(steps, ranges[:, 1], -1)
    covered: Mask = np.cumsum(steps[:-1]) > 0
    return covered


def false_openings(openings: Int64[np.ndarray, " n"], labels: Mask) -> Mask:
    """Which of the rows are normal and `EARLY_ROWS` or more before the next event, [n]."""
    starts = np.append(true_runs(labels)[:, 0], len(labels) + EARLY_ROWS)
    ahead = starts[np.searchsorted(starts, openings)] - openings
    false: Mask = ~labels[openings] & (ahead >= EARLY_ROWS)
    return false
