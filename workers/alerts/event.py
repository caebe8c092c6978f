"""A CloudEvent as the rules look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from schemas.api.subscriptions import EventType
from schemas.wire.anomaly import Severity
from workers.alerts.labels import DETECTOR, channels_of, incident_labels, severity_of

__all__ = ["ENDS", "AlertEvent"]

ENDS: Final = frozenset({EventType.RESOLVED, EventType.HEALTHY})
"""What ends an incident."""
_REQUIRED: Final = ("id", "type", "source", "subject")
_NO_ATTRIBUTES: Final = frozenset({"data", "data_base64"})
_EXPOSED: Final = ("severity", "kind")
"""What an incident says of itself that filters see as attributes, too."""


@dataclass(frozen=True, kw_only=True)
class AlertEvent:
    """A CloudEvent, and what rules ask of it."""

    document: Mapping[str, Any]
    """All of it, as structured JSON."""
    id: str
    """The same whenever it is sent again."""
    type: str
    """What happened; see `schemas.api.subscriptions.EventType`."""
    subject: str
    """The sensor; of an event about none, what it is about."""
    attributes: Mapping[str, str]
    """Its context attributes as text, and `severity` and `kind` of its incident."""
    data: Mapping[str, Any]
    """The incident; empty if it is about none."""
    incident_id: str | None
    """Of the incident; None if it is about none."""
    severity: Severity | None
    """Of the incident."""
    peak: float | None
    """Highest score of the incident; 1.0 is the threshold."""
    channels: tuple[str, ...]
    """Channels that the incident ranks, the main one first."""
    labels: Mapping[str, str]
    """Of the incident, see `incident_labels`; empty if the event is about none."""
    is_suppressed: bool
    """Whether the incident looks like a confirmed false alarm."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """What rules see of a CloudEvent.

        It is about an incident if its data has an `id` and a `sensor_id`, as those of
        `incident.*` and `detector.*` have.

        Raises:
            ValueError: it lacks one of id, type, source and subject, or one of them is no text.
        """
        for name in _REQUIRED:
            value = document.get(name)
            if not isinstance(value, str) or not value:
                raise ValueError(f"a CloudEvent here needs `{name}`, a text that is not empty")
        data = document.get("data")
        if not (isinstance(data, Mapping) and "id" in data and "sensor_id" in data):
            data = {}
        peak = data.get("peak")
        return cls(
            document=document,
            id=document["id"],
            type=document["type"],
            subject=document["subject"],
            attributes=_attributes(document, data),
            data=data,
            incident_id=str(data["id"]) if data else None,
            severity=severity_of(data),
            peak=float(peak) if isinstance(peak, int | float) else None,
            channels=channels_of(data),
            labels=incident_labels(data) if data else {},
            is_suppressed=data.get("suppressed") is not None,
        )

    @property
    def is_of_sensor(self) -> bool:
        """Whether it is about an incident of a sensor: not about Vigie itself, not about none."""
        return self.incident_id is not None and self.labels.get("kind") != DETECTOR


def _attributes(document: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, str]:
    shown = {name: data[name] for name in _EXPOSED if data.get(name)}
    shown.update((name, value) for name, value in document.items() if name not in _NO_ATTRIBUTES)
    return {name: _text(value) for name, value in shown.items() if value is not None}


def _text(value: object) -> str:
    """An attribute in the canonical text form of CloudEvents' type system."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
