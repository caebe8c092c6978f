"""What a report says: of the data, the training, the calibration, and each incident.

Everything on the page stands in `Report.document`, as plain values; the pictures are made of the
same rows. What is shown is bounded, and what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from detector.scoring import Detector
from schemas.wire.timestamp import short_ns
from workers.backtest.account import Account
from workers.backtest.backtest import ScoredSensor
from workers.backtest.drifts import DriftResult
from workers.backtest.explained import ExplainedIncident
from workers.backtest.judged import judge
from workers.data.finding import Finding, grouped
from workers.data.history import History, SensorRows
from workers.report.pictures import example_pictures, incident_picture, timeline
from workers.stream.state.counts import Counts


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a page shows at most; the most severe and the most restless come first.

    Attributes:
        timelines: sensors that are drawn.
        sensors: lines of the table of sensors.
        pictured: incidents with pictures.
        listed: incidents.
        findings: things that look wrong.
    """

    timelines: int = 12
    sensors: int = 200
    pictured: int = 30
    listed: int = 200
    findings: int = 20


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """One sensor over time."""

    sensor: str
    picture: Markup


@dataclass(frozen=True, kw_only=True)
class PicturedIncident:
    """An incident, with its pictures where there is room for them.

    Attributes:
        number: its place on the page, from 1.
        told: as plain values.
        picture: main channel around it; None beyond the limit.
        examples: the window that scored highest, and the normal one most like it; both or neither.
    """

    number: int
    told: Mapping[str, Any]
    picture: Markup | None
    examples: Sequence[Markup]


@dataclass(frozen=True, kw_only=True)
class Report:
    """All of it.

    Attributes:
        document: plain values, for `--json` and for the page.
        timelines: of the most restless sensors.
        incidents: in order of time.
        left_out: what the page does not show, in words.
    """

    document: Mapping[str, Any]
    timelines: Sequence[Timeline]
    incidents: Sequence[PicturedIncident]
    left_out: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a report is made of.

    Attributes:
        detector: the model.
        history: what was read.
        files: where from, as they were named.
        findings: what looks wrong with it.
        sensors: scored.
        counts: where the readings went.
        found: incidents and drift.
        normal: further rows in which examples of normal operation may be looked up.
        max_gap_s: as for the backtest.
    """

    detector: Detector
    history: History
    files: Sequence[str]
    findings: Sequence[Finding]
    sensors: Sequence[ScoredSensor]
    counts: Counts
    found: Account
    normal: Sequence[SensorRows] = ()
    max_gap_s: float = 0.0


def report_of(material: Material, limits: Limits | None = None) -> Report:
    """Make a report."""
    limits = limits or Limits()
    found = material.found
    table = _sensors(material)
    ranked = sorted(found.incidents, key=lambda one: -one.incident.strength)
    listed = {id(one) for one in ranked[: limits.listed]}
    pictured = {id(one) for one in ranked[: limits.pictured]}
    shown = [one for one in found.incidents if id(one) in listed]
    restless = sorted(table, key=lambda row: (-row["incidents"], -(row["highest"] or 0.0)))
    drawn = {row["sensor"] for row in restless[: limits.timelines]}
    numbers = {id(one.incident): place for place, one in enumerate(shown, start=1)}
    places = {one.sensor: one for one in material.sensors}
    return Report(
        document=_document(material, table, limits),
        timelines=[
            Timeline(sensor=one.sensor, picture=timeline(one, numbers))
            for one in material.sensors
            if one.sensor in drawn and len(one.ts_ns)
        ],
        incidents=[
            _pictured(one, place, places, material, draw=id(one) in pictured)
            for place, one in enumerate(shown, start=1)
        ],
        left_out=_left_out(material, limits),
    )


def _pictured(
    one: ExplainedIncident,
    number: int,
    sensors: Mapping[str, ScoredSensor],
    material: Material,
    *,
    draw: bool,
) -> PicturedIncident:
    detector = material.detector
    told = one.document(detector.channels)
    if not draw:
        return PicturedIncident(number=number, told=told, picture=None, examples=())
    sensor = sensors[one.incident.told.sensor_id]
    normal = (*material.history.sensors, *material.normal)
    return PicturedIncident(
        number=number,
        told=told,
        picture=incident_picture(one, sensor, detector),
        examples=example_pictures(one, sensor, normal, detector),
    )


def _document(
    material: Material, table: Sequence[Mapping[str, Any]], limits: Limits
) -> dict[str, Any]:
    detector, history = material.detector, material.history
    training = dict(detector.identity.training)
    return {
        "model": {
            "name": detector.name,
            "version": detector.version,
            "channels": [
                {"name": name, "unit": unit}
                for name, unit in zip(detector.channels, detector.units, strict=True)
            ],
            "interval_s": detector.interval_s,
            "max_gap_s": detector.max_gap_s,
            "receptive_field": detector.receptive_field,
            "warm_up": detector.warm_up,
            "views": [
                {
                    "kind": view.kind,
                    "receptive_field": view.receptive_field,
                    "features": list(view.features),
                }
                for view in detector.views
            ],
        },
        "data": {
            "files": list(material.files),
            "rows_read": history.read,
            "left_out": {str(reason): n for reason, n in history.by_reason.most_common()},
            "sensors": len(history.sensors),
            "first": _edge(material.sensors, 0),
            "last": _edge(material.sensors, -1),
            "counts": asdict(material.counts),
            "notes": list(history.notes),
            "findings": [
                {"kind": str(one.kind), "text": one.text, "option": one.option}
                for one in grouped(material.findings)[: limits.findings]
            ],
        },
        "training": training,
        "calibration": {
            "sensors_with_numbers_of_their_own": detector.n_groups - 1,
            "dials": None if detector.head.alarms is None else asdict(detector.head.alarms.dials),
        },
        **material.found.document(detector.channels, str(training.get("budget_words", "unknown"))),
        "sensors": list(table[: limits.sensors]),
    }


def _edge(sensors: Sequence[ScoredSensor], place: int) -> str | None:
    times = [int(one.ts_ns[place]) for one in sensors if len(one.ts_ns)]
    return short_ns((min if place == 0 else max)(times)) if times else None


def _sensors(material: Material) -> list[dict[str, Any]]:
    """A line for each sensor: rows, incidents against the budget, drift."""
    detector, found = material.detector, material.found
    drifts = {one.sensor: one for one in found.drifts}
    rule = detector.head.alarms
    table = []
    for one in material.sensors:
        worth = judge(one)
        group = detector.group_of(one.sensor)
        drift = drifts.get(one.sensor)
        table.append(
            {
                "sensor": one.sensor,
                "known": group != 0,
                "rows": len(one.ts_ns),
                "scored": int(np.count_nonzero(one.scored)),
                "flagged": int(np.count_nonzero(one.flagged)),
                "highest": float(np.nanmax(one.score)) if one.scored.any() else None,
                "threshold": detector.threshold_of(group),
                "asked": 0.0 if rule is None else rule.rate * worth.normal_rows,
                "incidents": worth.incidents,
                "false": worth.false if one.labels is not None else None,
                "events": worth.events if one.labels is not None else None,
                "found": worth.found if one.labels is not None else None,
                "in_alarm": worth.normal_alarm_share,
                "drift": "unknown" if drift is None else drift.word,
                "drift_since": _since(drift),
            }
        )
    return table


def _since(drift: DriftResult | None) -> str | None:
    if drift is None or drift.given_ns is None:
        return None
    return short_ns(drift.given_ns - round(drift.epochs * drift.epoch_s * 1e9))


def _left_out(material: Material, limits: Limits) -> list[str]:
    sensors, incidents = len(material.sensors), len(material.found.incidents)
    pairs = (
        (sensors - limits.timelines, "timelines of sensors with fewer incidents"),
        (sensors - limits.sensors, "lines of the table of sensors"),
        (incidents - limits.listed, "incidents, the least severe"),
        (min(incidents, limits.listed) - limits.pictured, "pictures of incidents less severe"),
        (len(grouped(material.findings)) - limits.findings, "things that look wrong"),
    )
    return [f"{count:,} {what}" for count, what in pairs if count > 0]
