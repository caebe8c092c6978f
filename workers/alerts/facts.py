"""What notifications say of an event, read from its CloudEvent; what is not there is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Self

from schemas.api.subscriptions import EventType
from schemas.wire.timestamp import TimestampError, to_ns
from workers.alerts.event import ENDS
from workers.alerts.message import Message

__all__ = ["ChannelFacts", "EventFacts", "facts_of"]

_FIRING: Final = frozenset(
    {
        EventType.OPENED,
        EventType.UPDATED,
        EventType.ACKNOWLEDGED,
        EventType.UNACKNOWLEDGED,
        EventType.UNHEALTHY,
    }
)


@dataclass(frozen=True, kw_only=True)
class ChannelFacts:
    """One channel of an incident."""

    name: str
    unit: str
    observed: float | None
    expected: float | None
    band: float | None
    share: float | None
    direction: str


@dataclass(frozen=True, kw_only=True)
class EventFacts:
    """An event, as its document tells of it."""

    id: str
    type: str
    subject: str
    """The sensor, or what else it is about."""
    at_ns: int | None
    """When it happened, by event time."""
    incident_id: str | None
    severity: str
    """low, medium, high; empty where it has none."""
    kind: str
    labels: Mapping[str, str]
    """Those of the sensor."""
    peak: float | None
    channels: Sequence[ChannelFacts]
    """The main one first."""
    opened_ns: int | None
    end_ns: int | None
    duration_s: float | None
    data: Mapping[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read it. A field that is missing, or is not what it should be, is as good as missing."""
        data = _mapping(document.get("data"))
        type_ = _text(document.get("type"))
        return cls(
            id=_text(document.get("id")),
            type=type_,
            subject=_text(document.get("subject")) or _text(data.get("sensor_id")),
            at_ns=_time(document.get("time")),
            incident_id=(
                _text(data.get("id")) or _text(data.get("incident_id")) or None
                if type_.startswith(("incident.", "detector."))
                else None
            ),
            severity=_text(data.get("severity")),
            kind=_text(data.get("kind")),
            labels={
                name: value
                for name, value in _mapping(data.get("labels")).items()
                if isinstance(value, str)
            },
            peak=_number(data.get("peak")),
            channels=[
                _channel(one) for one in _list(data.get("channels")) if isinstance(one, Mapping)
            ],
            opened_ns=_time(data.get("opened")),
            end_ns=_time(data.get("end")),
            duration_s=_number(data.get("duration_s")),
            data=data,
        )

    @property
    def is_firing(self) -> bool:
        """Whether it tells of something that goes on."""
        return self.type in _FIRING

    @property
    def is_over(self) -> bool:
        """Whether it tells of the end of something."""
        return self.type in ENDS

    @property
    def thread(self) -> str:
        """The same for all events of one story: of an incident, or of what is said of a subject."""
        if self.incident_id is not None:
            return self.incident_id
        if self.is_firing or self.is_over:
            return f"{self.type.partition('.')[0]}:{self.subject}"
        return self.id


def facts_of(message: Message) -> list[EventFacts]:
    """The events of a notification; of several of one incident the last one."""
    latest: dict[str, EventFacts] = {}
    for document in message.events:
        facts = EventFacts.of(document)
        latest[facts.thread] = facts
    return list(latest.values())


def _channel(data: Mapping[str, Any]) -> ChannelFacts:
    return ChannelFacts(
        name=_text(data.get("channel")),
        unit=_text(data.get("unit")),
        observed=_number(data.get("observed")),
        expected=_number(data.get("expected")),
        band=_number(data.get("band")),
        share=_number(data.get("share")),
        direction=_text(data.get("direction")),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or type(value) is bool or not isfinite(value):
        return None
    return float(value)


def _time(value: object) -> int | None:
    try:
        return to_ns(value)
    except TimestampError:
        return None
