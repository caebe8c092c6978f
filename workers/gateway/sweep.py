"""What time alone brings about: groups that are due, silences that end, acknowledgements too.

Each step is a transaction of its own, done by one gateway at a time; one that fails does not keep
the others from their turn, and is done again a moment later.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy import Connection, and_, func, select, update

from schemas.api.incidents import IncidentState
from schemas.api.matchers import MatchKind
from schemas.api.subscriptions import DeliveryState, EventType
from schemas.settings import GatewaySettings
from workers.alerts.event import AlertEvent
from workers.alerts.muting import HOUR_NS, Recently, mute
from workers.gateway.announce import announce
from workers.gateway.background import Background
from workers.gateway.book import Entry, SubscriptionBook
from workers.gateway.circumstances import CircumstancesReader
from workers.gateway.group_store import flush_due
from workers.gateway.outbox import Outbox
from workers.gateway.signal import Signal
from workers.gateway.store import (
    audit,
    deliveries,
    events,
    idempotency,
    incidents,
    positions,
    sessions,
    silences,
)
from workers.gateway.store import subscriptions as stored
from workers.gateway.store.database import Database, DatabaseUnavailableError
from workers.gateway.store.recent import recently
from workers.gateway.store.tables import deliveries as outbox_table
from workers.gateway.store.tables import incidents as incident_table

__all__ = ["Sweeper"]

_LEASE: Final = "sweep"
_LEASE_NS: Final = 10 * 10**9
_EVERY_S: Final = 0.5
_PRUNE_EVERY_S: Final = 60.0
_AT_ONCE: Final = 500
DIGEST_NS: Final = 600 * 10**9
"""How long what a cap holds back is collected before one notification tells how much it was."""
_KEPT_SILENCES_NS: Final = 90 * 86_400 * 10**9


class Sweeper(Background):
    """Does what is due, for as long as the gateway runs."""

    def __init__(
        self,
        database: Database,
        settings: GatewaySettings,
        *,
        book: SubscriptionBook,
        outbox: Outbox,
        circumstances: CircumstancesReader,
        holder: str,
        signal: Signal,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Note what to use; `start` begins."""
        super().__init__("sweep")
        self._database, self._settings = database, settings
        self._book, self._outbox, self._circumstances = book, outbox, circumstances
        self._holder, self._signal, self._clock_ns = holder, signal, clock_ns
        self._pruned_s = 0.0

    def run(self) -> None:
        """Sweep on and on."""
        log = structlog.get_logger("vigie.gateway")
        while not self.stopping.wait(_EVERY_S):
            try:
                if not self._hold():
                    continue
                if self.sweep():
                    self._signal.notify()
                if time.monotonic() - self._pruned_s >= _PRUNE_EVERY_S:
                    self._pruned_s = time.monotonic()
                    self.prune()
            except DatabaseUnavailableError as error:
                log.warning("sweep_waits", error=str(error))
            except Exception:
                log.exception("sweep_failed")

    def _hold(self) -> bool:
        now_ns = self._clock_ns()
        with self._database.begin() as connection:
            return positions.hold(
                connection, _LEASE, holder=self._holder, now_ns=now_ns, until_ns=now_ns + _LEASE_NS
            )

    def sweep(self) -> int:
        """Do all that is due now; returns how much that was."""
        steps = (self._flush, self._release, self._digest, self._escalate, self._expire)
        return sum(self._step(step) for step in steps)

    def _step(self, step: Callable[[Connection, int], int]) -> int:
        with self._database.begin() as connection:
            return step(connection, self._clock_ns())

    # -- groups, and what was held back ------------------------------------------------------------

    def _flush(self, connection: Connection, now_ns: int) -> int:
        entries = self._book.read(connection).entries
        at = self._circumstances.read(connection, now_ns=now_ns)
        return flush_due(connection, entries, at, limit=_AT_ONCE)

    def _release(self, connection: Connection, now_ns: int) -> int:
        """Tell what nothing holds back any more, and drop what is over."""
        entries = self._book.read(connection).entries
        at, after, released = None, 0, 0
        while rows := deliveries.muted_rows(connection, after=after, limit=_AT_ONCE):
            at = at or self._circumstances.read(connection, now_ns=now_ns)
            after = rows[-1].id
            ids = [row.incident_id for row in rows]
            going_on = incidents.going_on(connection, ids)
            over = [row.id for row in rows if row.incident_id not in going_on]
            deliveries.drop(connection, over, reason="over before it could be told")
            for row in rows:
                entry = entries.get(row.subscription_id)
                if row.incident_id not in going_on or entry is None or row.document is None:
                    continue
                if row.muted_by == MatchKind.RATE:  # a digest tells of it
                    continue
                event = AlertEvent.of(json.loads(row.document))
                muted = mute(entry.spec, event, at, _recently(connection, entry, event, now_ns))
                if muted is None:
                    self._outbox.release(connection, entry, event, row.id, now_ns=now_ns)
                    released += 1
                elif (muted.by, muted.ref) != (row.muted_by, row.muted_ref):
                    deliveries.mute_anew(connection, row.id, muted)
        return released

    def _digest(self, connection: Connection, now_ns: int) -> int:
        """One notification in the place of all that a cap held back for a while."""
        held = and_(
            outbox_table.c.state == DeliveryState.MUTED.value,
            outbox_table.c.muted_by == MatchKind.RATE.value,
        )
        due = connection.execute(
            select(outbox_table.c.subscription_id)
            .where(held)
            .group_by(outbox_table.c.subscription_id)
            .having(func.min(outbox_table.c.created_ns) <= now_ns - DIGEST_NS)
        ).scalars()
        entries = self._book.read(connection).entries
        found = [entries[id_] for id_ in due if id_ in entries]
        for entry in found:
            rows = connection.execute(
                select(outbox_table.c.id, outbox_table.c.sensor).where(
                    held, outbox_table.c.subscription_id == entry.id
                )
            ).all()
            deliveries.drop(connection, [row.id for row in rows], reason="told in a digest")
            sensors = sorted({row.sensor for row in rows})
            deliveries.add(connection, [_digest_row(entry, len(rows), sensors, now_ns)])
        return len(found)

    # -- acknowledgements --------------------------------------------------------------------------

    def _escalate(self, connection: Connection, now_ns: int) -> int:
        """Tell somebody else of what goes on and nobody has acknowledged in time."""
        rows = connection.execute(
            select(
                outbox_table.c.id,
                outbox_table.c.subscription_id,
                outbox_table.c.event_id,
                outbox_table.c.type,
                outbox_table.c.incident_id,
                outbox_table.c.sensor,
                incident_table.c.state,
            )
            .join(incident_table, incident_table.c.id == outbox_table.c.incident_id)
            .where(
                outbox_table.c.escalate_ns <= now_ns,
                outbox_table.c.state != DeliveryState.MUTED.value,
            )
            .limit(_AT_ONCE)
        ).all()
        entries = self._book.read(connection).entries
        told = 0
        for row in rows:
            entry = entries.get(row.subscription_id)
            escalation = None if entry is None else entry.spec.escalate
            target = None if escalation is None else entries.get(str(escalation.to))
            if row.state == IncidentState.OPEN and entry is not None and target is not None:
                told += deliveries.add(connection, [_escalated(row, entry, target, now_ns)])
        connection.execute(
            update(outbox_table)
            .where(outbox_table.c.id.in_([row.id for row in rows]))
            .values(escalate_ns=None)
        )
        return told

    def _expire(self, connection: Connection, now_ns: int) -> int:
        """End acknowledgements whose time is over: it goes on, and nobody looks after it."""
        expired = incidents.expired_acknowledgements(connection, now_ns=now_ns)
        for id_ in expired:
            row = incidents.get_row(connection, id_, lock=True)
            if row is None or not incidents.unacknowledge(connection, id_, now_ns=now_ns):
                continue
            announce(
                connection,
                self._outbox,
                EventType.UNACKNOWLEDGED,
                subject=row.sensor_id,
                data=json.loads(row.data) | {"acknowledged_by": row.acknowledged_by},
                tenant=row.tenant,
                now_ns=now_ns,
                incident_id=id_,
            )
            deliveries.escalate_anew(connection, id_, now_ns=now_ns)
        return len(expired)

    # -- age ---------------------------------------------------------------------------------------

    def prune(self) -> None:
        """Delete what is older than the settings keep, a little at a time."""
        settings = self._settings
        kept_ns, told_ns = round(settings.max_age_s * 1e9), round(settings.event_age_s * 1e9)
        steps: tuple[Callable[[Connection, int], int], ...] = (
            lambda c, now: deliveries.expire(c, now_ns=now),
            lambda c, now: events.prune(c, before_ns=now - told_ns, limit=_AT_ONCE),
            lambda c, now: deliveries.prune(c, before_ns=now - kept_ns, limit=_AT_ONCE),
            lambda c, now: incidents.prune(c, before_ns=now - kept_ns, limit=_AT_ONCE),
            lambda c, now: silences.prune(c, before_ns=now - _KEPT_SILENCES_NS),
            lambda c, now: stored.prune_secrets(c, before_ns=now),
            lambda c, now: sessions.prune(c, now_ns=now),
            lambda c, now: idempotency.prune(c, now_ns=now),
            lambda c, now: audit.prune(c, before_ns=now - kept_ns),
        )
        for step in steps:
            while self._step(step) >= _AT_ONCE and not self.stopping.is_set():
                pass


def _recently(connection: Connection, entry: Entry, event: AlertEvent, now_ns: int) -> Recently:
    spec = entry.spec
    if not spec.cooldown_s and spec.max_per_hour is None:
        return Recently()
    return recently(connection, entry.id, sensor=event.subject, since_ns=now_ns - HOUR_NS)


def _digest_row(entry: Entry, number: int, sensors: list[str], now_ns: int) -> dict[str, object]:
    id_ = f"{entry.id}-digest-{now_ns}"
    data = {"subscription": entry.id, "name": entry.spec.name, "suppressed": number,
            "sensors": sensors[:100]}  # fmt: skip
    document = events.made_here(
        EventType.DIGEST.value, subject=entry.id, data=data, at_ns=now_ns, id_=id_
    )
    return {
        "subscription_id": entry.id,
        "event_id": id_,
        "type": EventType.DIGEST.value,
        "incident_id": None,
        "order_key": id_,
        "sensor": "",
        "payload": json.dumps({"events": [document], "suppressed": number}, ensure_ascii=False),
        "state": DeliveryState.WAITING.value,
        "due_ns": now_ns,
        "expires_ns": now_ns + round(entry.spec.max_age_s * 1e9),
        "created_ns": now_ns,
    }


def _escalated(row: object, entry: Entry, target: Entry, now_ns: int) -> dict[str, object]:
    minutes = 0.0 if entry.spec.escalate is None else entry.spec.escalate.after_s / 60
    note = f"escalated: nobody acknowledged it in {minutes:g} minutes ({entry.spec.name})"
    found = {name: getattr(row, name) for name in ("event_id", "type", "incident_id", "sensor")}
    escalate = target.spec.escalate
    return found | {
        "subscription_id": target.id,
        "order_key": found["incident_id"],
        "payload": json.dumps({"note": note}, ensure_ascii=False),
        "state": DeliveryState.WAITING.value,
        "due_ns": now_ns,
        "expires_ns": now_ns + round(target.spec.max_age_s * 1e9),
        "escalate_ns": None if escalate is None else now_ns + round(escalate.after_s * 1e9),
        "created_ns": now_ns,
    }
