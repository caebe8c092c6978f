"""The body that Standard Webhooks recommends: `{type, timestamp, data}`, below 20 kB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from schemas.wire.timestamp import short_ns
from workers.alerts.bodies.text import LIGHTER, encoded, fitting
from workers.alerts.facts import facts_of
from workers.alerts.message import Message

__all__ = ["CONTENT_TYPE", "MAX_BYTES", "body"]

CONTENT_TYPE: Final = "application/json"
MAX_BYTES: Final = 20_000
"""What the specification asks for."""


def body(message: Message) -> bytes:
    """The body.

    Of a single event `data` is the event's data and `timestamp` its time. Of a group `data` has
    `group` (key and labels), `status` (firing or resolved), `events` (each with type, timestamp,
    subject, data) and `truncated`, the number of events that found no room.
    """
    return fitting(_bodies(message), MAX_BYTES)


def _bodies(message: Message) -> Iterator[bytes]:
    for lighter in LIGHTER:
        yield encoded(_document(message, [lighter(event) for event in message.events]))
    events = [LIGHTER[-1](event) for event in message.events]
    kept = len(events)
    while message.group is not None and kept > 1:
        kept //= 2
        yield encoded(_document(message, events[:kept]))


def _document(message: Message, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {"type": message.type, "timestamp": short_ns(message.at_ns)}
    if message.url:
        told["url"] = message.url
    if message.note:
        told["note"] = message.note
    if message.group is None:
        event = events[0] if events else {}
        data = event.get("data", {})
        if message.suppressed and isinstance(data, Mapping):
            data = {**data, "suppressed": message.suppressed}
        return {**told, "timestamp": event.get("time", told["timestamp"]), "data": data}
    going_on = any(not facts.is_over for facts in facts_of(message))
    told["data"] = {
        "group": {"key": message.group.key, "labels": dict(message.group.labels)},
        "status": "firing" if going_on else "resolved",
        "events": [
            {
                "type": event.get("type"),
                "timestamp": event.get("time"),
                "subject": event.get("subject"),
                "data": event.get("data", {}),
            }
            for event in events
        ],
        "truncated": len(message.events) - len(events),
    }
    return told
