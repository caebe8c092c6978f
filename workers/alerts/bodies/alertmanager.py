"""Alerts as Alertmanager has them: for its API v2, and for receivers of its webhook (version 4).

An alert is known by its labels, so they are those that stay while an incident goes on: the
sensor's, `sensor_id`, `kind`, `severity` and the incident's id. If the severity rises, the alert
of the lower one is sent no more and ends after Alertmanager's resolve_timeout, as that of a rule
for warnings does when the one for errors takes over. What else changes is in the annotations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from schemas.api.subscriptions import EventType
from schemas.wire.timestamp import short_ns
from workers.alerts.bodies.text import encoded
from workers.alerts.facts import EventFacts, facts_of
from workers.alerts.labels import ALERT_NAME
from workers.alerts.message import Message
from workers.alerts.templates import Rendered, render

__all__ = ["CONTENT_TYPE", "alerts_body", "fingerprint", "webhook_body"]

CONTENT_TYPE: Final = "application/json"
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")
_ALERT_NAMES: Final[dict[str, str]] = {
    EventType.DISABLED: "VigieSubscriptionDisabled",
    EventType.DIGEST: "VigieNotificationsSuppressed",
    EventType.TEST: "VigieTest",
}
_SHORT_NS: Final = 300 * 10**9
"""How long an alert lasts of what happens once and has no end."""


def alerts_body(message: Message) -> bytes:
    """The alerts of a notification, for POST /api/v2/alerts: the same whenever it is made.

    One that goes on has no endsAt: Alertmanager ends it when it hears no more of it.
    """
    alerts = []
    for facts, alert in _alerts(message):
        posted = {name: alert[name] for name in ("labels", "annotations", "startsAt")}
        if not facts.is_firing:
            posted["endsAt"] = alert["endsAt"]
        if message.url:
            posted["generatorURL"] = message.url
        alerts.append(posted)
    return encoded(alerts)


def webhook_body(message: Message) -> bytes:
    """What Alertmanager would post to a webhook."""
    alerts = [alert for _, alert in _alerts(message)]
    group = message.group
    labels = dict(group.labels) if group is not None else {}
    return encoded(
        {
            "version": "4",
            "groupKey": group.key if group is not None else f"{{}}:{_key(message)}",
            "truncatedAlerts": 0,
            "status": "firing" if any(one["status"] == "firing" for one in alerts) else "resolved",
            "receiver": message.name or "vigie",
            "groupLabels": _named(labels),
            "commonLabels": _common([one["labels"] for one in alerts]),
            "commonAnnotations": _common([one["annotations"] for one in alerts]),
            "externalURL": message.url,
            "alerts": alerts,
        }
    )


def fingerprint(labels: Mapping[str, str]) -> str:
    """Of an alert's labels, as Alertmanager computes it: FNV-1a over names and values."""
    digest = 0xCBF29CE484222325
    for name in sorted(labels):
        for byte in (*name.encode(), 255, *labels[name].encode(), 255):
            digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"


def _alerts(message: Message) -> list[tuple[EventFacts, dict[str, Any]]]:
    alerts = []
    for facts in facts_of(message):
        labels = _labels(facts)
        starts_ns, ends_ns = _span(facts, message)
        shown = _words(facts, message)
        alerts.append(
            (
                facts,
                {
                    "status": "resolved" if facts.is_over else "firing",
                    "labels": labels,
                    "annotations": _annotations(facts, shown),
                    "startsAt": short_ns(starts_ns),
                    "endsAt": "0001-01-01T00:00:00Z" if facts.is_firing else short_ns(ends_ns),
                    "generatorURL": message.url,
                    "fingerprint": fingerprint(labels),
                },
            )
        )
    return alerts


def _words(facts: EventFacts, message: Message) -> Rendered:
    """Of one alert alone, so that it reads the same with others beside it as without."""
    document = next((one for one in message.events if one.get("id") == facts.id), message.events[0])
    return render(replace(message, type=facts.type, events=(document,), group=None))


def _span(facts: EventFacts, message: Message) -> tuple[int, int]:
    """Start and end. Event time may be ahead of the clock; an end that is would be none yet."""
    begun = facts.opened_ns if facts.opened_ns is not None else facts.at_ns
    starts_ns = min(message.at_ns if begun is None else begun, message.at_ns)
    if not facts.is_over:
        return starts_ns, message.at_ns + _SHORT_NS
    ended = facts.end_ns if facts.end_ns is not None else message.at_ns
    return starts_ns, max(min(ended, message.at_ns), starts_ns)


def _labels(facts: EventFacts) -> dict[str, str]:
    own = {
        "alertname": _ALERT_NAMES.get(facts.type, ALERT_NAME),
        "incident": facts.incident_id or "",
        "kind": facts.kind,
        "sensor_id": facts.subject,
        "severity": facts.severity,
    }
    # What it does not say is missing, whatever the sensor's labels claim.
    labels = {name: value for name, value in _named(facts.labels).items() if name not in own}
    return labels | {name: value for name, value in own.items() if value}


def _annotations(facts: EventFacts, shown: Rendered) -> dict[str, str]:
    given = {"summary": shown.title, "description": shown.text}
    reason = facts.data.get("reason")
    if isinstance(reason, str):
        given["reason"] = reason
    if facts.channels:
        given["channel"] = facts.channels[0].name
        given["direction"] = facts.channels[0].direction
    if facts.peak is not None:
        given["peak"] = f"{facts.peak:g}"
    who = facts.data.get("acknowledged_by")
    if isinstance(who, str):
        given["acknowledged_by"] = who
    return {name: value for name, value in given.items() if value}


def _named(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels by names that Prometheus takes; without those that are empty, which it drops."""
    named = {}
    for name, value in sorted(labels.items()):
        plain = _NOT_IN_A_NAME.sub("_", name)
        if name and value:
            named[f"_{plain}" if plain[0].isdigit() else plain] = value
    return named


def _common(several: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *others = several or [{}]
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }


def _key(message: Message) -> str:
    facts = facts_of(message)
    return facts[0].thread if facts else message.id
