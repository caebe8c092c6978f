"""Incidents of recorded readings: the alarm rule over their levels, as a stream would open them.

Pure: of a sensor's levels, times and the model. Each sensor's rows are one sequence for the rule;
rows without a score are told as unknown, so that what the rule says of gaps holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.calibration.alarm_rule import AlarmRule, EndReason, Fired, Incident, open_incidents
from detector.calibration.published import scores_of
from detector.calibration.severity import Severity, tail_p_value
from detector.scoring import Detector
from workers.backtest.backtest import ScoredSensor

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

_CHUNK_ROWS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FoundIncident:
    """An incident of one sensor.

    Attributes:
        sensor: whose.
        opened, first, last: rows of the sensor: where it was reported, the first over the bars,
            the last in alarm.
        top: row that was farthest over its bar.
        opened_ns, first_ns, last_ns: their event times.
        reason: why it ended; None where the readings end first.
        fired: the view that opened it.
        peak: slopes of the tail that `top` lies over its bar.
        p_value: share of normal readings expected to open an incident like it.
        severity: what that is in words.
    """

    sensor: str
    opened: int
    first: int
    last: int
    top: int
    opened_ns: int
    first_ns: int
    last_ns: int
    reason: EndReason | None
    fired: Fired
    peak: float
    p_value: float
    severity: Severity

    @property
    def duration_s(self) -> float:
        """From the first row over the bars to the last in alarm."""
        return (self.last_ns - self.first_ns) / 1e9


@dataclass(frozen=True, kw_only=True)
class SensorAlarms:
    """What the alarm rule says of the rows of one sensor.

    Attributes:
        sensor: whose.
        alarm: rows in a reported incident, [n].
        number: which incident each of them belongs to, from 1; 0 outside, [n].
        strength: slopes of the tail over the bar, NaN where not scored, [n].
        bar: score at which the row would be over all of the rule's bars, NaN likewise, [n]. It is
            1 on a sensor's first day, and moves with what the rule has counted and learnt.
        incidents: in order of time.
    """

    sensor: str
    alarm: BoolArray
    number: npt.NDArray[np.int64]
    strength: FloatArray
    bar: FloatArray
    incidents: Sequence[FoundIncident]


def alarms_of(
    one: ScoredSensor, detector: Detector, *, chunk_rows: int = _CHUNK_ROWS
) -> SensorAlarms | None:
    """Fold the alarm rule over the rows of a sensor.

    Args:
        one: its rows, in order of time.
        detector: that scored them.
        chunk_rows: rows folded at once; changes nothing but the memory that it takes.

    Returns:
        None for a model that is older than the rule.
    """
    rule = detector.head.alarms
    if rule is None:
        return None
    groups = np.array([detector.group_of(one.sensor)])
    states = rule.start(groups)
    n = len(one.ts_ns)
    alarm, strength = np.zeros(n, dtype=np.bool_), np.full(n, np.nan)
    bar = np.full(n, np.nan)
    ended: list[Incident] = []
    for begin in range(0, n, chunk_rows):
        levels = one.levels[begin : begin + chunk_rows]
        told = rule.advance(levels, np.array([len(levels)]), groups, states)
        part = slice(begin, begin + len(levels))
        alarm[part], strength[part], states = told.alarm, told.strength, told.states
        bar[part] = told.threshold
        ended += told.ended
    known = sorted([*ended, *open_incidents(states)], key=lambda incident: incident.opened)
    number = np.zeros(n, dtype=np.int64)
    for place, incident in enumerate(known, start=1):
        number[incident.first : incident.last + 1] = place
    incidents = [_found(one, rule, incident, strength) for incident in known]
    return SensorAlarms(
        sensor=one.sensor,
        alarm=alarm,
        number=number,
        strength=strength,
        bar=_as_scores(bar, np.isnan(one.levels[:, 0]), detector, int(groups[0])),
        incidents=incidents,
    )


def _as_scores(
    levels: FloatArray, partial: BoolArray, detector: Detector, group: int
) -> FloatArray:
    """Levels (short ones where `partial`) as published scores."""
    head = detector.head
    scores: FloatArray = np.full(len(levels), np.nan)
    for view, calibration in enumerate((head.calibration, head.partial)):
        of = partial if view else ~partial
        if calibration is None or not of.any():
            continue
        scores[of] = scores_of(levels[of], view, group, head.fusion, calibration)
    return scores


def _found(
    one: ScoredSensor, rule: AlarmRule, incident: Incident, strength: FloatArray
) -> FoundIncident:
    inside = strength[incident.first : incident.last + 1]
    top = incident.first + int(np.argmax(np.nan_to_num(inside, nan=-np.inf)))
    p_value = tail_p_value(incident.peak, rule.rate)
    return FoundIncident(
        sensor=one.sensor,
        opened=incident.opened,
        first=incident.first,
        last=incident.last,
        top=top,
        opened_ns=int(one.ts_ns[incident.opened]),
        first_ns=int(one.ts_ns[incident.first]),
        last_ns=int(one.ts_ns[incident.last]),
        reason=incident.reason,
        fired=incident.fired,
        peak=incident.peak,
        p_value=p_value,
        severity=Severity.of(p_value, rule.rate),
    )
