"""Telling a second subscription of what goes on and nobody has acknowledged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping

from schemas.api.incidents import IncidentState
from workers.alerts.event import AlertEvent
from workers.alerts.muting import Circumstances
from workers.gateway.book import Entry
from workers.gateway.store import deliveries as stored
from workers.gateway.store.tables import deliveries, events

__all__ = ["Escalating"]


class Escalating:
    """A delivery whose incident nobody has acknowledged in time.

    Attributes:
        target: who is told; None if nobody is, or need be any more.
    """

    def __init__(self, row: RowMapping, entries: Mapping[str, Entry]) -> None:
        """Of a row of deliveries joined with its event and the state of its incident."""
        self._row = row
        self._entry = entries.get(row[deliveries.c.subscription_id])
        escalate = None if self._entry is None else self._entry.spec.escalate
        is_open = row["incident_state"] == IncidentState.OPEN
        self.target = entries.get(str(escalate.to)) if escalate and is_open else None

    def is_held_back(self, at: Circumstances) -> bool:
        """Whether a silence or an inhibition holds it back now."""
        document = self._row[events.c.document]
        if self.target is None or document is None:
            return False
        event = AlertEvent.of(json.loads(document))
        is_silenced = at.silenced_by(event, self.target.spec.tenant) is not None
        return is_silenced or at.inhibited_by(event) is not None

    def delivery(self, now_ns: int) -> dict[str, Any]:
        """The row of its delivery: a notification of its own, whatever else the target was told."""
        assert self._entry is not None
        assert self.target is not None
        own, target = self._entry.spec, self.target.spec
        minutes = 0.0 if own.escalate is None else own.escalate.after_s / 60
        note = f"escalated: nobody acknowledged it in {minutes:g} minutes ({own.name})"
        document = self._row[events.c.document]
        payload: dict[str, Any] = {"note": note}
        if document is not None:
            payload["events"] = [json.loads(document)]
        due_ns = self._row[deliveries.c.escalate_ns]
        escalate_ns = None
        if target.escalate is not None:
            escalate_ns = now_ns + round(target.escalate.after_s * 1e9)
        return stored.new_row(
            self.target.id,
            f"{self._row[deliveries.c.event_id]}-escalated-{due_ns}",
            self._row[deliveries.c.type],
            incident_id=self._row[deliveries.c.incident_id],
            order_key=self._row[deliveries.c.incident_id],
            sensor=self._row[deliveries.c.sensor],
            payload=json.dumps(payload, ensure_ascii=False),
            now_ns=now_ns,
            max_age_s=target.max_age_s,
            escalate_ns=escalate_ns,
        )
