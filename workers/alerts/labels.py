"""Labels of an incident, as matchers, groups and inhibitions see them, and the order of severities.

They are those of its sensor, and what the incident itself says: what it says wins over a label of
the sensor that is called the same. A label that is not there is the empty text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from schemas.wire.anomaly import Severity

__all__ = ["ALERT_NAME", "DETECTOR", "RANKS", "channels_of", "incident_labels", "severity_of"]

ALERT_NAME: Final = "VigieIncident"
"""Label `alertname` of every incident."""
DETECTOR: Final = "detector"
"""Label `kind` of an incident that is about Vigie itself, not about a sensor."""
RANKS: Final[Mapping[Severity, int]] = {Severity.LOW: 1, Severity.MEDIUM: 2, Severity.HIGH: 3}
"""Severities as numbers that compare."""


def incident_labels(data: Mapping[str, Any]) -> dict[str, str]:
    """Labels of an incident.

    Args:
        data: the incident as a document; see `schemas.wire.incident`.
    """
    own = data.get("labels")
    labels = {str(name): str(text) for name, text in own.items()} if _is_map(own) else {}
    model = data.get("model")
    channels = channels_of(data)
    said = {
        "alertname": ALERT_NAME,
        "sensor_id": data.get("sensor_id"),
        "severity": data.get("severity"),
        "kind": data.get("kind"),
        "direction": data.get("direction"),
        "channel": channels[0] if channels else None,
        "model": model.get("name") if _is_map(model) else None,
    }
    for name, value in said.items():
        # What it does not say is missing, whatever the sensor's labels claim.
        labels.pop(name, None)
        if value is not None and value != "":
            labels[name] = str(value)
    return labels


def channels_of(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the channels that an incident ranks, the main one first."""
    found = data.get("channels")
    if not isinstance(found, list | tuple):
        return ()
    return tuple(str(one["channel"]) for one in found if _is_map(one) and "channel" in one)


def severity_of(data: Mapping[str, Any]) -> Severity | None:
    """Severity of an incident; None if it has none that there is."""
    try:
        return Severity(data["severity"])
    except (KeyError, ValueError):
        return None


def _is_map(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)
