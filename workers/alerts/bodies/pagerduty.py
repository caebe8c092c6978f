"""Events for PagerDuty's Events API v2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Final

from schemas.api.subscriptions import EventType
from schemas.wire.timestamp import short_ns
from workers.alerts.bodies.text import LIGHTER, encoded, fitting
from workers.alerts.facts import EventFacts, facts_of
from workers.alerts.message import Message
from workers.alerts.templates import render

__all__ = ["CONTENT_TYPE", "MAX_BYTES", "body"]

CONTENT_TYPE: Final = "application/json"
MAX_BYTES: Final = 512 * 1024
_MAX_SUMMARY_CHARS: Final = 1024
_MAX_EVENTS: Final = 100
_MAX_KEY_CHARS: Final = 255
_SEVERITIES: Final = {"low": "warning", "medium": "error", "high": "critical"}
_WEIGHT: Final = ("", "low", "medium", "high")


def body(message: Message, routing_key: str) -> bytes:
    """The event: trigger, acknowledge or resolve of the alert that the incident, or group, is."""
    return fitting(_bodies(message, routing_key), MAX_BYTES)


def _bodies(message: Message, routing_key: str) -> Iterator[bytes]:
    for lighter in LIGHTER:
        events = [lighter(event) for event in message.events[:_MAX_EVENTS]]
        details = {"events": events, "truncated": len(message.events) - len(events)}
        yield encoded(_event(message, routing_key, details))
    yield encoded(_event(message, routing_key, {"events": len(message.events)}))


def _event(message: Message, routing_key: str, details: dict[str, Any]) -> dict[str, Any]:
    told = facts_of(message)
    action = _action(told)
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": _key(message, told),
    }
    if action != "trigger":
        return event
    shown = render(message)
    main = told[0] if told else EventFacts.of({})
    event["payload"] = {
        "summary": shown.title[:_MAX_SUMMARY_CHARS],
        "source": main.subject or "vigie",
        "severity": _severity(told),
        "timestamp": short_ns(main.at_ns if main.at_ns is not None else message.at_ns),
        "component": main.channels[0].name if main.channels else "",
        "group": _group(message, main),
        "class": main.kind or main.type,
        "custom_details": {"text": shown.text, "labels": dict(main.labels), **details},
    }
    event["client"] = "Vigie"
    if message.url:
        event["client_url"] = message.url
        event["links"] = [{"href": message.url, "text": "Vigie"}]
    return event


def _action(told: Sequence[EventFacts]) -> str:
    if told and all(facts.is_over for facts in told):
        return "resolve"
    going_on = [facts for facts in told if not facts.is_over]
    if going_on and all(facts.type == EventType.ACKNOWLEDGED for facts in going_on):
        return "acknowledge"
    return "trigger"


def _key(message: Message, told: Sequence[EventFacts]) -> str:
    key = told[0].thread if told else message.id
    if message.group is not None:
        key = message.group.key
    if len(key) <= _MAX_KEY_CHARS:
        return key
    return sha256(key.encode()).hexdigest()


def _severity(told: Sequence[EventFacts]) -> str:
    if any(facts.type == EventType.TEST for facts in told):
        return "info"
    known = [facts for facts in told if facts.severity in _SEVERITIES and not facts.is_over]
    if known:
        return _SEVERITIES[max((one.severity for one in known), key=_WEIGHT.index)]
    return "critical" if any(facts.type == EventType.UNHEALTHY for facts in told) else "warning"


def _group(message: Message, main: EventFacts) -> str:
    labels = message.group.labels if message.group is not None else main.labels
    return ", ".join(f"{name} {value}" for name, value in sorted(labels.items()))[:255]
