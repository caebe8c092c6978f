"""Incidents that open, go on and end by chance, as events of the topic of the incidents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from uuid import UUID

from schemas.wire.timestamp import short_ns
from tests.support.notifications import incident_data

SEVERITIES: Final = ("low", "medium", "high")
START_NS: Final = 1_800_000_000 * 10**9
_SECOND_NS: Final = 10**9


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """A sensor and its labels."""

    id: str
    labels: Mapping[str, str]


@dataclass(kw_only=True)
class _Life:
    id: str
    sensor: Sensor
    suppressed: bool
    opened_ns: int
    sequence: int = 0
    severity: int = 0


def fleet(sites: int, per_site: int) -> list[Sensor]:
    """Sensors of plants: site-1-pump-0 and so on."""
    return [
        Sensor(
            id=f"site-{site}-pump-{number}",
            labels={"site": f"site-{site}", "line": str(number % 3), "unit": f"u{number // 10}"},
        )
        for site in range(sites)
        for number in range(per_site)
    ]


@dataclass(kw_only=True)
class Lives:
    """One incident of a sensor at a time; drawn from a generator of its own.

    Attributes:
        going_on: about how many incidents go on at once.
        suppressed: share of those that look like a confirmed false alarm.
    """

    rng: Random
    sensors: Sequence[Sensor]
    going_on: int = 20
    suppressed: float = 0.05
    _open: list[_Life] = field(default_factory=list)
    _now_ns: int = START_NS

    def next_event(self) -> dict[str, Any]:
        """What happens next, as a CloudEvent."""
        self._now_ns += _SECOND_NS
        if (len(self._open) < self.going_on and self.rng.random() < 0.6) or not self._open:
            return self._opened()
        life = self.rng.choice(self._open)
        if self.rng.random() < 0.4:
            self._open.remove(life)
            return self._event(life, "resolved")
        if self.rng.random() < 0.5:
            life.severity = min(life.severity + 1, 2)
        return self._event(life, "updated")

    def end_all(self) -> list[dict[str, Any]]:
        """The ends of all that goes on."""
        ended, self._open = self._open, []
        return [self._event(life, "resolved") for life in ended]

    def _opened(self) -> dict[str, Any]:
        busy = {life.sensor.id for life in self._open}
        sensor = self.rng.choice([one for one in self.sensors if one.id not in busy])
        life = _Life(
            id=str(UUID(int=self.rng.getrandbits(128), version=4)),
            sensor=sensor,
            suppressed=self.rng.random() < self.suppressed,
            opened_ns=self._now_ns,
            severity=self.rng.choices((0, 1, 2), (0.5, 0.3, 0.2))[0],
        )
        self._open.append(life)
        return self._event(life, "opened")

    def _event(self, life: _Life, what: str) -> dict[str, Any]:
        life.sequence += 1
        return event_of(
            what,
            sensor=life.sensor,
            incident=life.id,
            sequence=life.sequence,
            severity=SEVERITIES[life.severity],
            opened_ns=life.opened_ns,
            now_ns=self._now_ns,
            suppressed=life.suppressed,
        )


def event_of(
    what: str,
    *,
    sensor: Sensor,
    incident: str,
    sequence: int,
    severity: str,
    opened_ns: int,
    now_ns: int,
    suppressed: bool = False,
) -> dict[str, Any]:
    """A CloudEvent of an incident, as the stream writes it."""
    ended = {"end": now_ns // 10**6, "end_reason": "recovered"} if what == "resolved" else {}
    wish = {"reason": "a false alarm", "wish": incident, "incident": incident}
    data = incident_data(
        sensor=sensor.id,
        id_=incident,
        severity=severity,
        labels=sensor.labels,
        first=opened_ns // 10**6 - 4000,
        opened=opened_ns // 10**6,
        last=now_ns // 10**6,
        until=now_ns // 10**6,
        suppressed=wish if suppressed else None,
        excerpt=None,
        calibration="0123456789abcdef",
        group_kind="pooled",
        source={"topic": "readings", "partition": 0, "first_offset": 1, "last_offset": sequence},
        **ended,
    )
    return {
        "specversion": "1.0",
        "id": f"{incident}-{sequence}",
        "source": "/vigie/plant",
        "type": f"incident.{what}",
        "subject": sensor.id,
        "time": short_ns(now_ns),
        "datacontenttype": "application/json",
        "dataschema": "urn:vigie:schema:incident:v1",
        "partitionkey": sensor.id,
        "sequence": f"{sequence:010d}",
        "data": data,
    }


def record_of(event: Mapping[str, Any]) -> dict[str, bytes]:
    """Key and value of the record of an event."""
    return {
        "key": str(event["subject"]).encode(),
        "value": json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode(),
    }
