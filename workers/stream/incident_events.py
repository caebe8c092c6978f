"""From what happened to an incident to the CloudEvent that tells of it. Pure."""

from __future__ import annotations

from math import isnan
from uuid import UUID

from detector.calibration import severity as by_p_value
from detector.calibration.budget import WEEK_S
from detector.scoring import Detector
from schemas.codec.content_type import CLOUD_EVENT
from schemas.settings import IncidentMode
from schemas.wire.anomaly import POOLED, GroupKind, ModelRef, Severity
from schemas.wire.deed import Deed
from schemas.wire.event import DeedEvent, IncidentEvent
from schemas.wire.incident import (
    BudgetUsed,
    Change,
    Direction,
    Excerpt,
    Incident,
    IncidentChannel,
    IncidentKind,
    SourceRange,
    Suppressed,
)
from schemas.wire.limits import MAX_NAME_CHARS
from schemas.wire.timestamp import short_ns
from workers.stream.sensor_labels import LabelsOf
from workers.stream.state.incident import (
    IncidentChange,
    OpenIncident,
    Told,
    incident_id,
    rounded,
)

_SEVERITIES = {1: Severity.LOW, 2: Severity.MEDIUM, 3: Severity.HIGH}

Headers = tuple[tuple[str, bytes], ...]


class IncidentEvents:
    """Writes the incidents of one model and one topic of readings."""

    def __init__(
        self,
        detector: Detector,
        *,
        topic: str,
        group: str,
        labels_of: LabelsOf,
        mode: IncidentMode = "structured",
    ) -> None:
        """Of a consumer group.

        Args:
            detector: that judged.
            topic: of the readings.
            group: of the consumers: names the source of the events.
            labels_of: labels of a sensor.
            mode: structured is one JSON, binary is the data with the attributes in headers.
        """
        self._detector, self._topic, self._group = detector, topic, group
        self._labels_of, self._mode = labels_of, mode
        self._model = ModelRef(name=detector.name, version=detector.version)
        training = detector.identity.training
        self._budget = str(training.get("budget_words", "unknown"))
        self._certified = training.get("budget_basis") == "counted"

    def incident(self, change: IncidentChange, partition: int) -> Incident:
        """An incident as it was when something happened to it."""
        one, detector = change.incident, self._detector
        group = detector.group_of(change.sensor)
        rule = detector.head.alarms
        rate = 0.5 if rule is None else rule.rate
        return Incident(
            id=incident_id(self._topic, partition, one),
            kind=one.kind,
            sensor_id=change.sensor,
            labels=dict(self._labels_of(change.sensor)),
            first_ns=one.first.ts_ns,
            opened_ns=one.opened_ns,
            last_ns=one.last_ns,
            end_ns=change.end_ns,
            end_reason=change.reason,
            until_ns=one.until.ts_ns,
            duration_s=max(one.until.ts_ns - one.first.ts_ns, 0) / 1e9,
            readings=one.readings,
            flagged=one.flagged,
            peak=one.peak,
            mean=one.total / max(one.readings, 1),
            p_value=_p_value(one, rate),
            severity=_SEVERITIES[max(one.severity, 1)],
            direction=_direction(one.told[0]) if one.told else Direction.PATTERN,
            seen_by=one.seen_by,
            channels=[self._channel(told) for told in one.told],
            excerpt=self._excerpt(one),
            raised_by=list(one.raised_by),
            held_back_by=list(one.held_back_by),
            suppressed=_suppressed(one),
            change=_change(one),
            charge=one.charge,
            latent=list(one.latent),
            model=self._model,
            calibration=detector.version,
            group=change.sensor if group else POOLED,
            group_kind=GroupKind.SENSOR if group else GroupKind.POOLED,
            source=SourceRange(
                topic=self._topic,
                partition=partition,
                first_offset=one.first.offset,
                first_index=one.first.nth,
                last_offset=one.until.offset,
            ),
            budget=BudgetUsed(
                budget=self._budget,
                last_day=change.opened_day,
                last_week=change.opened_week,
                allowed_week=rate * WEEK_S / max(detector.interval_s, 1e-9),
                certified=self._certified,
            ),
        )

    def event(self, change: IncidentChange, partition: int) -> IncidentEvent:
        """The event of a change."""
        data = self.incident(change, partition)
        return IncidentEvent(
            id=f"{data.id}-{change.incident.sequence}",
            source=f"/vigie/{self._group}",
            type=f"incident.{change.what}",
            subject=change.sensor,
            time=short_ns(change.at_ns),
            partitionkey=change.sensor,
            sequence=f"{change.incident.sequence:010d}",
            data=data,
        )

    def encode(self, change: IncidentChange, partition: int) -> tuple[bytes, Headers]:
        """Value and headers of the record, as the mode has it."""
        return self._encoded(self.event(change, partition))

    def encode_deed(self, deed: Deed) -> tuple[bytes, Headers]:
        """Value and headers of the record of a wish that holds, or holds no more."""
        what = "withdrawn" if deed.withdrawn else "heeded"
        after_ns = 0 if deed.after_ns is None else deed.after_ns
        return self._encoded(
            DeedEvent(
                id=f"{deed.wish_id}-{what}-{deed.sensor}-{deed.partition}-{deed.offset}",
                source=f"/vigie/{self._group}",
                type="wish.withdrawn" if deed.withdrawn else "wish.heeded",
                subject=deed.sensor,
                time=short_ns(after_ns),
                partitionkey=deed.sensor,
                data=deed,
            )
        )

    def _encoded(self, event: IncidentEvent | DeedEvent) -> tuple[bytes, Headers]:
        if self._mode == "structured":
            return event.model_dump_json().encode(), (("content-type", CLOUD_EVENT.encode()),)
        attributes = event.attributes()
        data_type = attributes.pop("datacontenttype")
        return event.data.model_dump_json().encode(), (
            ("content-type", data_type.encode()),
            *((f"ce_{name}", str(value).encode()) for name, value in attributes.items()),
        )

    def _channel(self, told: Told) -> IncidentChannel:
        return IncidentChannel(
            channel=self._detector.channels[told.channel],
            unit=self._detector.units[told.channel][:MAX_NAME_CHARS],
            share=told.share,
            observed=told.observed,
            expected=told.expected,
            band=told.band,
            direction=_direction(told),
        )

    def _excerpt(self, one: OpenIncident) -> Excerpt | None:
        if one.points is None:
            return None
        times, *columns = zip(*one.points.line, strict=True)
        observed, expected, score = (
            [None if isnan(value) else rounded(value) for value in column] for column in columns
        )
        return Excerpt(
            channel=self._detector.channels[one.points.channel],
            ts_ns=list(times),
            observed=observed,
            expected=expected,
            score=score,
        )


def _p_value(one: OpenIncident, rate: float) -> float:
    if one.kind is IncidentKind.DRIFT:  # evidence is a bet: it grows by x with a chance of 1/x
        return min(1.0 / max(one.strength, 1.0), 1.0)
    return by_p_value.tail_p_value(one.strength, rate)


def _direction(told: Told) -> Direction:
    if told.observed is None:
        return Direction.MISSING
    return Direction(by_p_value.Direction.of(told.observed, told.expected, told.band))


def _suppressed(one: OpenIncident) -> Suppressed | None:
    if one.suppressed is None:
        return None
    wish, incident = one.suppressed
    return Suppressed(
        reason="looks like an incident that was called a false alarm",
        wish=UUID(wish),
        incident=UUID(incident),
    )


def _change(one: OpenIncident) -> Change | None:
    if one.change is None:
        return None
    offset, epochs = one.change
    return Change(offset=offset, epochs=epochs)
