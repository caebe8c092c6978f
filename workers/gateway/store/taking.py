"""Incidents as the stream tells of them: a batch of events is one look and one writing."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from schemas.api.incidents import IncidentState
from schemas.wire.timestamp import to_ns as wire_ns
from workers.alerts.event import ENDS, AlertEvent
from workers.gateway.store.incidents import SEVERITIES
from workers.gateway.store.tables import incidents

__all__ = ["Taken", "Taking", "take_in"]


class Taken(Enum):
    """What an event of an incident was."""

    REPEAT = auto()
    """It was known."""
    QUIET = auto()
    """It is kept, and nobody is told: somebody has said that the incident is over."""
    NEWS = auto()


@dataclass(kw_only=True)
class _Known:
    sequence: int
    state: str
    resolved_ns: int | None
    row: dict[str, Any] | None = None
    """What is to be written."""
    is_new: bool = False


class Taking:
    """Takes events in; what they come to is written by `write`.

    Until the end of the transaction nobody else changes these incidents.
    """

    def __init__(self, connection: Connection, ids: Collection[str], *, now_ns: int) -> None:
        """Look at the incidents of the events to come."""
        self._connection, self._now_ns = connection, now_ns
        columns = incidents.c.id, incidents.c.sequence, incidents.c.state, incidents.c.resolved_ns
        rows = connection.execute(
            select(*columns)
            .where(incidents.c.id.in_(ids))
            .order_by(incidents.c.id)
            .with_for_update()
        )
        self._known = {
            row.id: _Known(sequence=row.sequence, state=row.state, resolved_ns=row.resolved_ns)
            for row in rows
        }

    def take_in(self, event: AlertEvent, *, tenant: str) -> Taken:
        """Keep what the stream told of an incident.

        What somebody has resolved stays so; an acknowledgement stays until it is over.
        """
        id_, sequence = str(event.incident_id), int(event.document.get("sequence") or 1)
        known = self._known.get(id_)
        if known is None:
            known = _Known(
                sequence=0, state=IncidentState.OPEN.value, resolved_ns=None, is_new=True
            )
            self._known[id_] = known
        elif known.sequence >= sequence:
            return Taken.REPEAT
        is_quiet = known.state == IncidentState.RESOLVED
        if event.type in ENDS and not is_quiet:
            known.state, known.resolved_ns = IncidentState.RESOLVED.value, self._now_ns
        known.sequence = sequence
        created = {"created_ns": self._now_ns} if known.is_new else {}
        known.row = (
            _row(event, tenant)
            | created
            | {
                "sequence": sequence,
                "updated_ns": self._now_ns,
                "state": known.state,
                "resolved_ns": known.resolved_ns,
            }
        )
        return Taken.QUIET if is_quiet else Taken.NEWS

    def write(self) -> None:
        """Write down what was taken in."""
        new = [one.row for one in self._known.values() if one.row is not None and one.is_new]
        changed = [
            one.row for one in self._known.values() if one.row is not None and not one.is_new
        ]
        if new:
            self._connection.execute(insert(incidents), new)
        if changed:
            names = [name for name in changed[0] if name != "id"]
            self._connection.execute(
                update(incidents)
                .where(incidents.c.id == bindparam("of"))
                .values({name: bindparam(f"new_{name}") for name in names}),
                [
                    {"of": row["id"], **{f"new_{name}": row[name] for name in names}}
                    for row in changed
                ],
            )
        for one in self._known.values():
            one.row, one.is_new = None, False


def take_in(connection: Connection, event: AlertEvent, *, tenant: str, now_ns: int) -> Taken:
    """Take one event in, and write it."""
    taking = Taking(connection, {str(event.incident_id)}, now_ns=now_ns)
    taken = taking.take_in(event, tenant=tenant)
    taking.write()
    return taken


def _row(event: AlertEvent, tenant: str) -> dict[str, Any]:
    data, end = event.data, event.data.get("end")
    return {
        "id": str(event.incident_id),
        "sensor_id": event.subject,
        "kind": str(data.get("kind") or "anomaly"),
        "tenant": tenant,
        "severity": SEVERITIES[event.severity.value] if event.severity else 1,
        "peak": float(event.peak or 0.0),
        "suppressed": event.is_suppressed,
        "opened_event_ns": wire_ns(data["opened"]),
        "resolved_event_ns": None if end is None else wire_ns(end),
        "labels": json.dumps(dict(event.labels), ensure_ascii=False, sort_keys=True),
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")),
        "search": _search_text(event),
    }


def _search_text(event: AlertEvent) -> str:
    words = [
        str(event.incident_id),
        event.subject,
        *event.labels.values(),
        *event.channels,
        str(event.data.get("kind") or ""),
        str(event.data.get("seen_by") or ""),
        *(event.data.get("raised_by") or ()),
    ]
    return "\n".join(words).lower()
