"""An event to try subscriptions and templates with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from schemas.api.subscriptions import EventType
from schemas.wire.anomaly import NAMESPACE
from schemas.wire.timestamp import short_ns
from workers.alerts.message import Message
from workers.gateway.store.events import made_here

__all__ = ["example_incident", "trial_message"]

_STARTED_NS = 90 * 10**9


def example_incident(now_ns: int) -> dict[str, Any]:
    """An incident of a sensor that there is not."""
    return {
        "id": str(uuid5(NAMESPACE, "example")),
        "kind": "anomaly",
        "sensor_id": "example-pump",
        "labels": {"site": "example"},
        "first": short_ns(now_ns - 2 * _STARTED_NS),
        "opened": short_ns(now_ns - _STARTED_NS),
        "last": short_ns(now_ns),
        "until": short_ns(now_ns),
        "end": None,
        "end_reason": None,
        "duration_s": 180.0,
        "readings": 180,
        "flagged": 171,
        "peak": 4.2,
        "mean": 2.1,
        "p_value": 0.0001,
        "severity": "medium",
        "direction": "high",
        "seen_by": "long",
        "channels": [
            {
                "channel": "bearing_temperature",
                "unit": "°C",
                "share": 0.8,
                "observed": 81.2,
                "expected": 63.0,
                "band": 4.0,
                "direction": "high",
            }
        ],
        "model": {"name": "example", "version": "0"},
    }


def trial_message(
    *,
    subscription: str,
    name: str,
    url: str,
    now_ns: int,
    nonce: UUID,
    incident: Mapping[str, Any] | None = None,
) -> Message:
    """A notification that says of itself that it is a trial."""
    data = dict(incident or example_incident(now_ns))
    document = made_here(
        EventType.TEST.value, subject=data["sensor_id"], data=data, at_ns=now_ns, id_=str(nonce)
    )
    return Message(
        id=str(nonce),
        type=EventType.TEST.value,
        at_ns=now_ns,
        events=(document,),
        url=url,
        subscription=subscription,
        name=name,
    )
