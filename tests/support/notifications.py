"""Events and notifications as the gateway makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schemas.api.subscriptions import Template
from workers.alerts.message import Group, Message

START_MS: Final = 1_700_000_000_000
INCIDENT: Final = "0b8f3f9e-6c1d-5f7e-9d55-0f6a3c2b1a00"


def incident_data(
    *,
    sensor: str = "pump-7",
    id_: str = INCIDENT,
    severity: str = "high",
    labels: Mapping[str, str] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """An incident as the stream tells of it."""
    return {
        "id": id_,
        "kind": "anomaly",
        "sensor_id": sensor,
        "labels": {"site": "Lyon", "line": "3"} if labels is None else dict(labels),
        "first": START_MS - 4000,
        "opened": START_MS,
        "last": START_MS + 60_000,
        "end": None,
        "end_reason": None,
        "until": START_MS + 60_000,
        "duration_s": 750.0,
        "readings": 60,
        "flagged": 42,
        "peak": 3.2,
        "mean": 1.9,
        "p_value": 1e-7,
        "severity": severity,
        "direction": "high",
        "seen_by": "long",
        "channels": [
            {
                "channel": "bearing temperature",
                "unit": "°C",
                "share": 0.61,
                "observed": 81.24,
                "expected": 63.0,
                "band": 2.1,
                "direction": "high",
            },
            {
                "channel": "vibration",
                "unit": "mm/s",
                "share": 0.3,
                "observed": 4.2,
                "expected": 2.0,
                "band": 0.4,
                "direction": "high",
            },
        ],
        "excerpt": {
            "channel": "bearing temperature",
            "ts": [START_MS, START_MS + 5000],
            "observed": [80.1, 81.24],
            "expected": [63.0, 63.1],
            "score": [2.0, 3.2],
        },
        "latent": [0.25] * 32,
        "model": {"name": "pump", "version": "0123456789abcdef"},
        "group": "pooled",
        **changes,
    }


def incident_event(what: str = "opened", **incident: Any) -> dict[str, Any]:
    """A CloudEvent of an incident."""
    if what == "resolved":
        incident = {"end": START_MS + 750_000, "end_reason": "recovered", **incident}
    data = incident_data(**incident)
    sequence = {"opened": 1, "updated": 2, "acknowledged": 3}.get(what, 9)
    return {
        "specversion": "1.0",
        "id": f"{data['id']}-{sequence}",
        "source": "/vigie/plant",
        "type": f"incident.{what}",
        "subject": data["sensor_id"],
        "time": "2023-11-14T22:13:20Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:vigie:schema:incident:v1",
        "partitionkey": data["sensor_id"],
        "sequence": f"{sequence:010d}",
        "data": data,
    }


def gateway_event(type_: str, subject: str = "plant", **data: Any) -> dict[str, Any]:
    """A CloudEvent of the gateway's own."""
    return {
        "specversion": "1.0",
        "id": f"{type_}-1",
        "source": "/vigie/gateway",
        "type": type_,
        "subject": subject,
        "time": "2023-11-14T22:13:20Z",
        "datacontenttype": "application/json",
        "data": data,
    }


def message_of(
    *events: Mapping[str, Any],
    title: str = "",
    text: str = "",
    group: Mapping[str, str] | None = None,
    **changes: Any,
) -> Message:
    """A notification of these events; of an incident that opens if there are none."""
    events = events or (incident_event(),)
    given: dict[str, Any] = {
        "id": f"msg_{events[0]['id']}",
        "type": str(events[-1]["type"]),
        "at_ns": (START_MS + 800_000) * 10**6,
        "events": events,
        "group": None if group is None else Group(key="sub-1:site", labels=group),
        "url": f"https://vigie.example/incidents/{INCIDENT}",
        "template": Template(title=title, text=text),
        "subscription": "5f0c6c1e-0000-4000-8000-000000000001",
        "name": "on call",
    }
    return Message(**{**given, **changes})
