"""All that is to be said of scored readings: incidents and why, what they were worth, drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from detector.scoring import Detector
from schemas.wire.timestamp import short_ns
from workers.backtest.backtest import ScoredSensor
from workers.backtest.drifts import DriftResult, drift_of
from workers.backtest.explained import MOST_EXPLAINED, ExplainedIncident, explanations
from workers.backtest.judged import LabelCounts, false_incidents, judge

MOST_LISTED = 10_000
"""Incidents and sensors that JSON lists one by one."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """What became of the readings of all sensors.

    Attributes:
        has_rule: whether the model opens incidents at all; an older one does not.
        incidents: of all, in order of time; the most severe have reasons.
        drift_incidents: likewise, of another kind: they count against no budget.
        judged: against the labels, where there are any; else every incident counts as false.
        labelled: whether there were labels.
        asked: false incidents that the budget allows on the normal rows.
        drifts: of each sensor; empty for a model without the verdict.
    """

    has_rule: bool
    incidents: Sequence[ExplainedIncident]
    drift_incidents: Sequence[ExplainedIncident]
    judged: LabelCounts
    labelled: bool
    asked: float
    drifts: Sequence[DriftResult]

    @property
    def all_incidents(self) -> Sequence[ExplainedIncident]:
        """Of both kinds, in order of time."""
        return sorted([*self.incidents, *self.drift_incidents], key=_when)

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


def most_telling(sensors: Sequence[ScoredSensor]) -> ScoredSensor:
    """The sensor with the most rows flagged or in alarm inside labels, else the most such rows."""

    def worth(one: ScoredSensor) -> tuple[int, int]:
        rows = one.flagged | one.alarm
        hits = 0 if one.labels is None else int(np.count_nonzero(rows & one.labels))
        return hits, int(np.count_nonzero(rows))

    return max(sensors, key=worth)


def account_of(
    sensors: Sequence[ScoredSensor], detector: Detector, *, max_gap_s: float = 0.0
) -> Account:
    """Count the incidents and drifts of all sensors, and seek reasons.

    Args:
        sensors: as `score_history` gives them.
        detector: that scored them.
        max_gap_s: as for the backtest.
    """
    judged = sum((judge(one) for one in sensors), LabelCounts())
    rule = detector.head.alarms
    ranked = sorted((i for one in sensors for i in one.incidents), key=lambda i: -i.strength)
    chosen = {id(one) for one in ranked[:MOST_EXPLAINED]}
    incidents: list[ExplainedIncident] = []
    for one in sensors:
        asked = [incident for incident in one.incidents if id(incident) in chosen]
        found = explanations(one, asked, detector, max_gap_s=max_gap_s)
        why = dict(zip(map(id, asked), found, strict=True))
        incidents += [
            ExplainedIncident(
                incident=incident,
                is_false=None if one.labels is None else is_false,
                why=why.get(id(incident)),
            )
            for incident, is_false in zip(one.incidents, false_incidents(one), strict=True)
        ]
    return Account(
        has_rule=rule is not None,
        incidents=sorted(incidents, key=_when),
        drift_incidents=[
            ExplainedIncident(incident=each) for one in sensors for each in one.drifts
        ],
        judged=judged,
        labelled=any(one.labels is not None for one in sensors),
        asked=0.0 if rule is None else rule.rate * judged.normal_rows,
        drifts=[drift for one in sensors if (drift := drift_of(one, detector)) is not None],
    )


def _when(one: ExplainedIncident) -> tuple[int, str]:
    told = one.incident.told
    return told.opened_ns, told.sensor_id


def _drift(one: DriftResult) -> dict[str, Any]:
    plain = asdict(one)
    given_ns = plain.pop("given_ns")
    return {
        **plain,
        "given": None if given_ns is None else short_ns(given_ns),
        "verdict": one.word,
    }
