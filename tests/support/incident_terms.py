"""What an incident's numbers mean, for the definition: ids, severities, bars, words."""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from uuid import UUID

import numpy as np

from detector.calibration.alarm_rule import AlarmRule
from detector.calibration.drift import DriftWatch
from detector.calibration.published import totals_of
from detector.explanation import band
from schemas.wire.anomaly import GroupKind, ModelRef, Severity, anomaly_id
from schemas.wire.event import IncidentEvent
from schemas.wire.incident import (
    BudgetUsed,
    Direction,
    Excerpt,
    Incident,
    IncidentChannel,
    IncidentKind,
    SourceRange,
    Suppressed,
)
from schemas.wire.sensor_state import SensorState
from schemas.wire.timestamp import short_ns
from schemas.wire.verdict import FalseAlarm
from workers.stream.state import alarm_table

_WEEK_S = 7 * 24 * 3600
_MOST_CHANNELS = 5
_LEAST_P_VALUE = 1e-12
_LARGEST = 3.4e38


class ToldChannel(NamedTuple):
    """A channel of an incident, with six digits."""

    channel: int
    share: float
    observed: float | None
    expected: float
    band: float


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A model, a partition of a topic, and the group that reads it."""

    detector: Any
    topic: str
    partition: int
    consumers: str
    max_stale_ms: int
    totals: Any
    thresholds: Any
    bands: Any

    @classmethod
    def of(
        cls, detector: Any, *, topic: str, partition: int, consumers: str, max_stale_ms: int
    ) -> Self:
        """Of a detector."""
        head = detector.head
        partial = head.partial or head.calibration
        return cls(
            detector=detector,
            topic=topic,
            partition=partition,
            consumers=consumers,
            max_stale_ms=max_stale_ms,
            totals=totals_of(head.fusion),
            thresholds=(head.calibration.threshold, partial.threshold),
            bands=[band(detector, group) for group in range(detector.n_groups)],
        )

    @property
    def rule(self) -> AlarmRule:
        """The alarm rule."""
        rule: AlarmRule = self.detector.head.alarms
        return rule

    @property
    def watch(self) -> DriftWatch | None:
        """The drift watch."""
        watch: DriftWatch | None = self.detector.head.drift
        return watch

    @property
    def group_of(self) -> Callable[[str], int]:
        """Calibration group of a sensor."""
        group_of: Callable[[str], int] = self.detector.group_of
        return group_of

    def bar(self, level: float, group: int, partial: bool) -> float:  # noqa: FBT001 - a fact
        """The rule's threshold as a score of a sensor's first day; 1 where nothing is judged."""
        if math.isnan(level):
            return 1.0
        view = int(partial)
        return float(np.exp(level / self.totals[view]) / self.thresholds[view][group])

    def p_value(self, strength: float) -> float:
        """How rare a reading so far beyond the bar is."""
        return max(_LEAST_P_VALUE, self.rule.rate * math.exp(-max(strength, 0.0)))

    def severity(self, strength: float) -> int:
        """1 to 3: up to 10, up to 1,000 times rarer than the budget, rarer."""
        rarer = self.p_value(strength)
        return 1 + (rarer <= self.rule.rate / 10) + (rarer <= self.rule.rate / 1_000)

    def told(self, sensor: str, values: Sequence[float], answer: Any) -> list[ToldChannel]:
        """The channels with the largest shares at a reading; of equals, the first one."""
        bands = self.bands[self.group_of(sensor)]
        order = sorted(range(len(values)), key=lambda channel: -answer.shares[channel])
        return [
            ToldChannel(
                channel,
                short(answer.shares[channel]),
                short(values[channel]) if math.isfinite(values[channel]) else None,
                short(answer.expected[channel]),
                short(bands[channel]),
            )
            for channel in order[:_MOST_CHANNELS]
        ]

    def nearest(
        self, sensor: str, answer: Any, remembered: Sequence[FalseAlarm]
    ) -> FalseAlarm | None:
        """The remembered false alarm that a reading is most alike to, if it is alike to one."""
        likeness = self.detector.head.likeness
        known = [wish for wish in remembered if len(wish.latent) == len(answer.latent)]
        if likeness is None or not known:
            return None
        channels = self.detector.channels
        nearest = likeness.alike(
            np.array(answer.shares, np.float64),
            np.array(answer.latent, np.float64),
            np.array([[wish.profile.get(name, 0.0) for name in channels] for wish in known]),
            np.array([wish.latent for wish in known]),
            self.group_of(sensor),
        )
        return None if nearest is None else known[nearest]

    def incident_id(self, first: tuple[int, int, int], kind: str = "anomaly") -> UUID:
        """Of its first flagged reading."""
        where = self.topic if kind == "anomaly" else f"{self.topic}/{kind}"
        return anomaly_id(where, self.partition, first[0], first[1])

    def incident(
        self,
        sensor: str,
        *,
        told: Sequence[ToldChannel],
        strength: float,
        points: tuple[int, Sequence[tuple[float, ...]]],
        **plain: Any,
    ) -> Incident:
        """All that is published of one that the alarm rule opened."""
        detector, channel = self.detector, points[0]
        times, *columns = zip(*points[1], strict=True)
        observed, expected, score = (
            [None if math.isnan(value) else float(f"{value:.6g}") for value in column]
            for column in columns
        )
        return self.published(
            sensor,
            **plain,
            p_value=self.p_value(strength),
            severity=(Severity.LOW, Severity.MEDIUM, Severity.HIGH)[self.severity(strength) - 1],
            direction=_direction(told[0]),
            channels=[
                IncidentChannel(
                    channel=detector.channels[one.channel],
                    unit=detector.units[one.channel],
                    direction=_direction(one),
                    **{name: getattr(one, name) for name in one._fields if name != "channel"},
                )
                for one in told
            ],
            excerpt=Excerpt(
                channel=detector.channels[channel],
                ts_ns=[int(ts_ns) for ts_ns in times],
                observed=observed,
                expected=expected,
                score=score,
            ),
        )

    def published(
        self,
        sensor: str,
        *,
        opened: tuple[int, int],
        first: Any,
        until: Any,
        kind: str = "anomaly",
        **plain: Any,
    ) -> Incident:
        """What incidents of all kinds have."""
        detector, group = self.detector, self.group_of(sensor)
        training = detector.identity.training
        return Incident(
            **plain,
            id=self.incident_id(first, kind),
            kind=IncidentKind(kind),
            sensor_id=sensor,
            first_ns=first.ts_ns,
            until_ns=until.ts_ns,
            duration_s=max(until.ts_ns - first.ts_ns, 0) / 1e9,
            model=ModelRef(name=detector.name, version=detector.version),
            calibration=detector.version,
            group=sensor if group else "pooled",
            group_kind=GroupKind.SENSOR if group else GroupKind.POOLED,
            source=SourceRange(
                topic=self.topic,
                partition=self.partition,
                first_offset=first.offset,
                first_index=first.nth,
                last_offset=until.offset,
            ),
            budget=BudgetUsed(
                budget=training.get("budget_words", "unknown"),
                last_day=opened[0],
                last_week=opened[1],
                allowed_week=self.rule.rate * _WEEK_S / max(detector.interval_s, 1e-9),
                certified=training.get("budget_basis") == "counted",
            ),
        )

    def event(self, data: Incident, what: str, at_ns: int, sequence: int) -> IncidentEvent:
        """The event that tells of it."""
        return IncidentEvent.model_validate(
            {
                "id": f"{data.id}-{sequence}",
                "source": f"/vigie/{self.consumers}",
                "type": f"incident.{what}",
                "subject": data.sensor_id,
                "time": short_ns(at_ns),
                "partitionkey": data.sensor_id,
                "sequence": f"{sequence:010d}",
                "data": data,
            }
        )


def _direction(told: ToldChannel) -> Direction:
    if told.observed is None:
        return Direction.MISSING
    if told.observed > told.expected + told.band:
        return Direction.HIGH
    return Direction.LOW if told.observed < told.expected - told.band else Direction.PATTERN


_RUN = ("first_offset", "first_index", "first_ns", "last_flagged", "flagged")
_FLOATS = ("share", "observed", "expected", "band")
_TOLD = np.dtype([("channel", "<u2"), *((name, "<f4") for name in _FLOATS)])
_POINT = np.dtype([("ts", "<i8"), ("observed", "<f4"), ("expected", "<f4"), ("score", "<f4")])
_INCIDENT = (
    *("kind", "seen_by", "first", "opened_ns", "last_ns", "until", "readings", "flagged", "total"),
    *("peak", "strength", "severity", "told", "latent", "points"),
    *(
        "raised_by",
        "held_back_by",
        "suppressed",
        "change",
        "charge",
        "sequence",
        "told_ns",
        "told_severity",
    ),
)


def unpacked(document: SensorState) -> dict[str, Any]:
    """A document with its numbers and its open incidents by name."""
    (row,), _ = alarm_table.unpacked([(document.state_version, document.state)])
    first_of_week = int(row["quarter"])
    more = document.more or {}
    return {
        **{name: getattr(document, name) for name in ("next_offset", "since")},
        **{name: getattr(document, name) for name in ("scored", "flagged", "dropped")},
        "rule": _numbers(row["rule"]),
        "drift": _numbers(row["drift"]),
        "marks": row["marks"].tolist(),
        "drifting": _incident(more.get("drift")),
        "last": (int(row["last_ns"]), int(row["last_ms"])),
        "run": tuple(int(row[name]) for name in _RUN),
        "openings": {
            first_of_week - age: int(count) for age, count in enumerate(row["openings"]) if count
        },
        "incident": _incident(document.incident),
        "wishes": _wishes(more.get("wishes")),
    }


def _wishes(document: dict[str, Any] | None) -> dict[str, Any] | None:
    """The ids of the wishes that hold, and what the last new normal replaced."""
    if document is None:
        return None
    ids = [UUID(bytes=b64decode(f"{one}==")) for one in document["ids"]]
    is_anew = "anew" in document
    return {
        "ids": ids,
        "anew": ids[document["anew"]] if is_anew else None,
        "before": list(document["before"]) if is_anew else None,
    }


def suppressed_by(pair: tuple[str, str] | None) -> Suppressed | None:
    """As it is told: by which wish, like which incident."""
    if pair is None:
        return None
    reason = "looks like an incident that was called a false alarm"
    return Suppressed(reason=reason, wish=UUID(pair[0]), incident=UUID(pair[1]))


def _incident(document: Sequence[Any] | None) -> dict[str, Any] | None:
    """An open incident by name."""
    if document is None:
        return None
    incident = dict(zip(_INCIDENT, document, strict=True))
    told = np.frombuffer(b64decode(incident["told"]), _TOLD).tolist()
    incident["told"] = [
        [channel, *(None if math.isnan(value) else short(value) for value in values)]
        for channel, *values in told
    ]
    latent = np.frombuffer(b64decode(incident["latent"]), "<f4").tolist()
    incident["latent"] = [short(value) for value in latent]
    if incident["points"] is not None:
        channel, stride, passed, line = incident["points"]
        points = np.frombuffer(b64decode(line), _POINT).tolist()
        incident["points"] = [channel, stride, passed, [shown(point) for point in points]]
    return incident


def _numbers(values: Any) -> list[float | None]:
    """Numbers that are compared: NaN is None."""
    return shown(values.tolist())


def shown(values: Sequence[float]) -> list[float | None]:
    """The same with None for NaN, which is equal to itself."""
    return [None if math.isnan(value) else value for value in values]


def short(value: float) -> float:
    """With six digits, and no farther out than single precision goes."""
    return float(f"{max(-_LARGEST, min(value, _LARGEST)):.6g}")
