"""All that is to be said of scored readings: incidents and why, what they were worth, drift."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from detector.scoring import Detector
from schemas.wire.timestamp import short_ns
from workers.backtest.backtest import ScoredSensor
from workers.backtest.drifts import DriftResult, drift_of
from workers.backtest.explained import MOST_EXPLAINED, ExplainedIncident, explained
from workers.backtest.incidents import SensorAlarms, alarms_of
from workers.backtest.judged import Judged, judge

MOST_LISTED = 10_000
"""Incidents and sensors that JSON lists one by one."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """What became of the readings of all sensors.

    Attributes:
        alarms: of each sensor, in the order of the sensors; empty for a model without the rule.
        incidents: of all, in order of time; the most severe have reasons.
        judged: against the labels, where there are any; else every incident counts as false.
        labelled: whether there were labels.
        asked: false incidents that the budget allows on the normal rows.
        drifts: of each sensor; empty for a model without the verdict.
    """

    alarms: Sequence[SensorAlarms]
    incidents: Sequence[ExplainedIncident]
    judged: Judged
    labelled: bool
    asked: float
    drifts: Sequence[DriftResult]

    def alarms_by_sensor(self) -> dict[str, SensorAlarms]:
        """The alarms of each sensor by its name."""
        return {one.sensor: one for one in self.alarms}

    def document(self, names: Sequence[str], budget: str) -> dict[str, Any]:
        """As plain values; `names` are the channels of the model, `budget` its budget in words."""
        judged = self.judged
        return {
            "budget": {
                "words": budget,
                "asked": self.asked,
                "observed": judged.false,
                "normal_rows": judged.normal_rows,
                "normal_rows_in_alarm": judged.normal_alarm_rows,
                "judged_by": "labels" if self.labelled else "taking all rows for normal",
            },
            "incidents": {
                "count": judged.incidents,
                "events": judged.events if self.labelled else None,
                "found": judged.found if self.labelled else None,
                "opened_for_an_event": judged.opened if self.labelled else None,
                "missed": judged.events - judged.found if self.labelled else None,
                "false": judged.false if self.labelled else None,
                "median_delay_s": judged.median_delay_s,
                "listed": [one.document(names) for one in self.incidents[:MOST_LISTED]],
            },
            "drift": [_drift(one) for one in self.drifts[:MOST_LISTED]],
        }


def most_telling(sensors: Sequence[ScoredSensor], account: Account) -> ScoredSensor:
    """The sensor with the most rows flagged or in alarm inside labels, else the most such rows."""
    alarms = account.alarms_by_sensor()

    def worth(one: ScoredSensor) -> tuple[int, int]:
        told = alarms.get(one.sensor)
        rows = one.score >= 1.0
        if told is not None and told.incidents:
            rows |= told.alarm
        hits = 0 if one.labels is None else int(np.count_nonzero(rows & one.labels))
        return hits, int(np.count_nonzero(rows))

    return max(sensors, key=worth)


def account_of(
    sensors: Sequence[ScoredSensor], detector: Detector, *, max_gap_s: float = 0.0
) -> Account:
    """Fold the alarm rule and the drift verdict over all sensors, and seek reasons.

    Args:
        sensors: as `score_history` gives them.
        detector: that scored them.
        max_gap_s: as for the backtest.
    """
    alarms = [told for one in sensors if (told := alarms_of(one, detector)) is not None]
    by_sensor = {one.sensor: one for one in sensors}
    worth = [judge(by_sensor[one.sensor], one) for one in alarms]
    judged = sum(worth, Judged())
    rule = detector.head.alarms
    chosen = _most_severe(alarms)
    reasons: list[ExplainedIncident] = []
    for alarm in alarms:
        own = [one for one in alarm.incidents if id(one) in chosen]
        rest = [one for one in alarm.incidents if id(one) not in chosen]
        reasons += explained(by_sensor[alarm.sensor], own, detector, max_gap_s=max_gap_s)
        reasons += [ExplainedIncident(incident=one) for one in rest]
    return Account(
        alarms=alarms,
        incidents=sorted(reasons, key=lambda one: (one.incident.opened_ns, one.incident.sensor)),
        judged=judged,
        labelled=any(one.labels is not None for one in sensors),
        asked=0.0 if rule is None else rule.rate * judged.normal_rows,
        drifts=[drift for one in sensors if (drift := drift_of(one, detector)) is not None],
    )


def _most_severe(alarms: Iterable[SensorAlarms]) -> set[int]:
    ranked = sorted((one for told in alarms for one in told.incidents), key=lambda one: -one.peak)
    return {id(one) for one in ranked[:MOST_EXPLAINED]}


def _drift(one: DriftResult) -> dict[str, Any]:
    plain = asdict(one)
    given_ns = plain.pop("given_ns")
    return {
        **plain,
        "given": None if given_ns is None else short_ns(given_ns),
        "verdict": one.word,
    }
