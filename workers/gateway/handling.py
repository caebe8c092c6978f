"""What people do about incidents: each is one transaction, with its event and who is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid5

from sqlalchemy import Connection, Row

from schemas.api.incidents import IncidentState
from schemas.api.subscriptions import EventType
from schemas.settings import Settings
from schemas.wire.anomaly import NAMESPACE
from schemas.wire.timestamp import short_ns
from schemas.wire.verdict import Wish
from workers.errors import VigieError
from workers.gateway.announce import announce
from workers.gateway.outbox import Outbox
from workers.gateway.store import deliveries, incidents
from workers.kafka.factory import connection_of
from workers.verdicts.incidents import Judged
from workers.verdicts.standing import with_wish
from workers.verdicts.writer import open_wish_writer

__all__ = ["Handling", "verdict_wish", "write_verdict"]


@dataclass(frozen=True, kw_only=True)
class Handling:
    """Somebody at work on incidents, in a transaction that holds the lock of `events.lock`.

    Attributes:
        by: who.
        now_ns: when.
    """

    connection: Connection
    outbox: Outbox
    by: str
    now_ns: int

    def acknowledge(self, row: Row[Any], *, until_ns: int | None, comment: str) -> bool:
        """Look after an incident; false if it is over."""
        if not incidents.acknowledge(
            self.connection, row.id, by=self.by, until_ns=until_ns, now_ns=self.now_ns
        ):
            return False
        self.comment(row.id, comment)
        until = None if until_ns is None else short_ns(until_ns)
        self._announce(
            EventType.ACKNOWLEDGED,
            row,
            {"acknowledged_by": self.by, "acknowledged_until": until, "comment": comment},
        )
        return True

    def unacknowledge(self, row: Row[Any]) -> bool:
        """Look after it no more; false if nobody did."""
        if not incidents.unacknowledge(self.connection, row.id, now_ns=self.now_ns):
            return False
        self._announce(EventType.UNACKNOWLEDGED, row, {"acknowledged_by": row.acknowledged_by})
        deliveries.escalate_anew(self.connection, row.id, now_ns=self.now_ns)
        return True

    def resolve(self, row: Row[Any], *, comment: str) -> bool:
        """Say that it is over, whatever the stream says; false if it is."""
        if not incidents.resolve(self.connection, row.id, by=self.by, now_ns=self.now_ns):
            return False
        self.comment(row.id, comment)
        type_ = EventType.HEALTHY if row.kind == "detector" else EventType.RESOLVED
        data = {"resolved_by": self.by, "end": short_ns(self.now_ns), "comment": comment}
        self._announce(type_, row, data)
        return True

    def remark(self, row: Row[Any], text: str) -> None:
        """Leave a note by itself: that is an event."""
        self.comment(row.id, text)
        self._announce(EventType.COMMENTED, row, {"comment": text, "comment_by": self.by})

    def comment(self, id_: str, text: str) -> None:
        """Leave a note with something else, if there is one."""
        if text:
            incidents.add_comment(self.connection, id_, by=self.by, text=text, now_ns=self.now_ns)

    def _announce(self, type_: EventType, row: Row[Any], more: Mapping[str, Any]) -> None:
        announce(
            self.connection,
            self.outbox,
            type_,
            subject=row.sensor_id,
            data=json.loads(row.data) | more,
            tenant=row.tenant,
            now_ns=self.now_ns,
            incident_id=row.id,
        )


def verdict_wish(row: Row[Any], *, verdict: str, note: str, by: str, now_ns: int) -> Wish:
    """The wish that tells the stream what an incident was.

    Its id is that of the incident and the verdict: who says the same twice says it once.

    Raises:
        VigieError: the incident lacks what a verdict needs.
    """
    try:
        judged = Judged.model_validate_json(row.data)
    except ValueError as error:
        raise VigieError("No verdict can be given on this incident: it is of no sensor.") from error
    say = judged.as_fault if verdict == "fault" else judged.as_false_alarm
    wish: Wish = say(
        id=uuid5(NAMESPACE, f"verdict/{row.id}/{verdict}/{row.state == IncidentState.RESOLVED}"),
        by=by,
        at_ns=now_ns,
        note=note,
    )
    return wish


def write_verdict(settings: Settings, sensor: str, wish: Wish) -> None:
    """Write a wish to the topic of the verdicts; the stream heeds it from its next reading on.

    Raises:
        BrokerUnavailableError: the broker does not answer.
        VigieError: there is no room for the wish, see `with_wish`.
    """
    connection = connection_of(settings.kafka)
    with open_wish_writer(connection, settings.topics.verdicts) as writer:
        writer.change(sensor, lambda document: with_wish(document, wish))
