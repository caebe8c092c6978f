"""Whether the detector does its work: an alarm system that is blind must say so.

It is unhealthy while nobody reads the readings, while it is far behind and does not catch up, or
while the broker does not answer. That is an incident like others, of the kind `detector`; while it
goes on, it mutes those of the sensors.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import structlog
from sqlalchemy import Connection as Transaction
from sqlalchemy import select

from schemas.api.incidents import IncidentState
from schemas.api.subscriptions import EventType
from schemas.settings import GatewaySettings, Settings
from schemas.wire.timestamp import short_ns
from workers.alerts.event import AlertEvent
from workers.errors import VigieError
from workers.gateway.announce import announce_document
from workers.gateway.background import Background
from workers.gateway.outbox import Outbox
from workers.gateway.signal import Signal
from workers.gateway.store import events, positions, taking
from workers.gateway.store.database import Database
from workers.gateway.store.tables import incidents as incident_table
from workers.kafka.factory import admin_of, connection_of

__all__ = ["KIND", "DetectorWatch", "Judge", "Seen"]

KIND: Final = "detector"
_LEASE: Final = "detector-watch"
_LEASE_NS: Final = 30 * 10**9
_EVERY_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How the detector was found.

    Attributes:
        readers: members of the group that hold a partition; None if the broker does not answer.
        lag: records not read; None if it is not known.
    """

    readers: int | None
    lag: int | None


class Judge:
    """Says what is wrong once it has been wrong for long enough. Pure."""

    def __init__(self, settings: GatewaySettings) -> None:
        """With the limits of the settings."""
        self._lag, self._after_ns = settings.unhealthy_lag, settings.unhealthy_after_s * 1e9
        self._since_ns: int | None = None
        self._lag_then: int | None = None

    def judge(self, seen: Seen, now_ns: int) -> str | None:
        """What is wrong, in words; None if nothing is, or not for long enough."""
        wrong = self._wrong(seen)
        if wrong is None:
            self._since_ns = self._lag_then = None
            return None
        if self._since_ns is None:
            self._since_ns, self._lag_then = now_ns, seen.lag
        return wrong if now_ns - self._since_ns >= self._after_ns else None

    @property
    def is_content(self) -> bool:
        """Whether nothing was wrong when it was looked at last."""
        return self._since_ns is None

    def _wrong(self, seen: Seen) -> str | None:
        if seen.readers is None:
            return "the Kafka broker does not answer"
        if seen.readers == 0:
            return "nobody reads the readings: vigie run is not there"
        if seen.lag is not None and seen.lag > self._lag:
            if self._lag_then is not None and seen.lag < self._lag_then / 2:
                return None  # it catches up
            return f"the detector is {seen.lag:,} records behind"
        return None


class DetectorWatch(Background):
    """Looks at the detector for as long as the gateway runs."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        outbox: Outbox,
        holder: str,
        signal: Signal,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Note what to look at; `start` begins."""
        super().__init__("detector-watch")
        self._database, self._settings, self._outbox = database, settings, outbox
        self._holder, self._signal, self._clock_ns = holder, signal, clock_ns
        self._judge = Judge(settings.gateway)
        self.seen: Seen | None = None
        """How it was found last."""

    def run(self) -> None:
        """Look on and on."""
        log = structlog.get_logger("vigie.gateway")
        while not self.stopping.wait(_EVERY_S):
            self.seen = self._look()
            wrong = self._judge.judge(self.seen, self._clock_ns())
            if wrong is None and not self._judge.is_content:
                continue
            try:
                with self._database.begin() as transaction:
                    events.lock(transaction)
                    if self._hold(transaction):
                        self.tell(transaction, wrong)
            except VigieError as error:
                log.warning("detector_watch_waits", error=str(error))
            except Exception:
                log.exception("detector_watch_failed")

    def _hold(self, transaction: Transaction) -> bool:
        now_ns = self._clock_ns()
        return positions.hold(
            transaction, _LEASE, holder=self._holder, now_ns=now_ns, until_ns=now_ns + _LEASE_NS
        )

    def _look(self) -> Seen:
        kafka, topic = self._settings.kafka, self._settings.topics.readings
        admin = admin_of(connection_of(kafka))
        try:
            group = admin.describe_group(kafka.group, topic)
            partitions = max(group.committed, default=-1) + 1
            bounds = admin.topic_bounds({topic: partitions} if partitions else {})
        except VigieError:
            return Seen(readers=None, lag=None)
        readers = sum(bool(member.partitions) for member in group.members)
        lag = sum(
            max(bounds[topic, partition][1] - at.next_offset, 0)
            for partition, at in group.committed.items()
            if (topic, partition) in bounds
        )
        return Seen(readers=readers, lag=lag)

    def tell(self, transaction: Transaction, wrong: str | None) -> None:
        """Open, or end, the incident about the detector."""
        now_ns = self._clock_ns()
        subject = f"vigie/{self._settings.kafka.group}"
        row = transaction.execute(
            select(incident_table).where(
                incident_table.c.kind == KIND,
                incident_table.c.sensor_id == subject,
                incident_table.c.state != IncidentState.RESOLVED.value,
            )
        ).first()
        if (wrong is None) == (row is None):
            return
        if row is None:
            data: dict[str, Any] = {
                "id": str(uuid4()),
                "kind": KIND,
                "sensor_id": subject,
                "labels": {},
                "opened": short_ns(now_ns),
                "severity": "high",
                "peak": 1.0,
                "reason": wrong,
            }
            type_ = EventType.UNHEALTHY
        else:
            data = json.loads(row.data) | {"end": short_ns(now_ns), "end_reason": "recovered"}
            type_ = EventType.HEALTHY
        document = events.made_here(type_.value, subject=subject, data=data, at_ns=now_ns)
        document["sequence"] = f"{1 if row is None else row.sequence + 1:010d}"
        taking.take_in(transaction, AlertEvent.of(document), tenant="", now_ns=now_ns)
        announce_document(
            transaction,
            self._outbox,
            document,
            tenant="",
            now_ns=now_ns,
            incident_id=str(data["id"]),
        )
        structlog.get_logger("vigie.gateway").warning(
            type_.value.replace(".", "_"), reason=data["reason"]
        )
        self._signal.notify()
