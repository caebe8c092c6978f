"""What time alone brings about: groups that are due, silences that end, acknowledgements too.

Each step is a transaction of its own, done by one gateway at a time; one that fails does not keep
the others from their turn, and is done again a moment later.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Connection, Row, and_, func, select, text, update

from schemas.api.matchers import MatchKind
from schemas.api.subscriptions import DeliveryState, EventType
from schemas.settings import GatewaySettings
from workers.alerts.event import AlertEvent
from workers.alerts.muting import Muted, mute
from workers.gateway.background import Background
from workers.gateway.book import Entry, SubscriptionBook
from workers.gateway.circumstances import CircumstancesReader
from workers.gateway.escalation import Escalating
from workers.gateway.group_store import due_groups, flush_group
from workers.gateway.handling import Handling
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
from workers.gateway.store.tables import events as event_table
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
        self._pruned_s = self._look_at_s = 0.0

    def run(self) -> None:
        """Sweep on and on."""
        while not self.stopping.wait(_EVERY_S):
            if not self._tried(self._hold):
                continue
            if self.sweep():
                self._signal.notify()
            if time.monotonic() - self._pruned_s >= _PRUNE_EVERY_S:
                self._pruned_s = time.monotonic()
                self.prune()

    def _tried(self, step: Callable[[], int]) -> int:
        """Do a step; what fails keeps nothing else from its turn, and is done again later."""
        log = structlog.get_logger("vigie.gateway")
        try:
            return step()
        except DatabaseUnavailableError as error:
            log.warning("sweep_waits", error=str(error))
        except Exception:
            log.exception("sweep_failed", step=getattr(step, "__name__", ""))
        return 0

    def _hold(self) -> bool:
        now_ns = self._clock_ns()
        with self._database.begin() as connection:
            return positions.hold(
                connection, _LEASE, holder=self._holder, now_ns=now_ns, until_ns=now_ns + _LEASE_NS
            )

    def sweep(self) -> int:
        """Do all that is due now; returns how much that was."""
        steps = (self._flush, self._release, self._digest, self._escalate, self._expire)
        return sum(self._tried(step) for step in steps)

    @contextmanager
    def _planning(self) -> Iterator[tuple[Connection, int]]:
        """A transaction that plans deliveries, and its time."""
        with self._database.begin() as connection:
            events.lock(connection)
            yield connection, self._clock_ns()

    # -- groups, and what was held back ------------------------------------------------------------

    def _flush(self) -> int:
        with self._database.read() as connection:
            due = due_groups(connection, now_ns=self._clock_ns(), limit=_AT_ONCE)
        return sum(self._tried(partial(self._flush_one, *one)) for one in due)

    def _flush_one(self, subscription_id: str, key: str) -> int:
        with self._planning() as (connection, now_ns):
            entry = self._book.read(connection).entries.get(subscription_id)
            if entry is None:
                return 0
            at = self._circumstances.read(connection, now_ns=now_ns)
            flush_group(connection, entry, key, at)
        return 1

    def _release(self) -> int:
        """Tell what nothing holds back any more, and drop what is over.

        Nobody waits while it is looked at; what is to change is looked at again in its transaction.
        """
        if time.monotonic() < self._look_at_s:
            return 0
        began_s, after, released = time.monotonic(), 0, 0
        while True:
            with self._database.read() as connection:
                rows = deliveries.muted_rows(connection, after=after, limit=_AT_ONCE)
                ids = self._to_change(connection, rows)
            if not rows:
                break
            after = rows[-1].id
            if ids:
                with self._planning() as (connection, now_ns):
                    again = deliveries.muted_rows(
                        connection, after=min(ids) - 1, limit=_AT_ONCE, up_to=max(ids)
                    )
                    released += self._change(connection, again, now_ns)
        # Many that are held back are looked at less often: it may take a tenth of the time.
        self._look_at_s = time.monotonic() + 9 * (time.monotonic() - began_s)
        return released

    def _to_change(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[int]:
        judged = self._judged(connection, rows, self._clock_ns())
        return [
            row.id
            for row, _, muted in judged
            if muted is None or (muted.by, muted.ref) != (row.muted_by, row.muted_ref)
        ]

    def _change(self, connection: Connection, rows: Sequence[Row[Any]], now_ns: int) -> int:
        released, over = 0, []
        for row, told, muted in self._judged(connection, rows, now_ns):
            if told is None:
                over.append(row.id)
            elif muted is None:
                entry, event = told
                released += self._outbox.release(connection, entry, event, row.id, now_ns=now_ns)
            elif (muted.by, muted.ref) != (row.muted_by, row.muted_ref):
                deliveries.mute_anew(connection, row.id, muted)
        deliveries.drop(connection, over, reason="over before it could be told")
        return released

    def _judged(
        self, connection: Connection, rows: Sequence[Row[Any]], now_ns: int
    ) -> Iterator[tuple[Row[Any], tuple[Entry, AlertEvent] | None, Muted | None]]:
        """Each that may change: who is told of what (none if it is over), and what holds it back.

        What a cap holds back, a digest tells of, whatever becomes of it.
        """
        if not rows:
            return
        entries = self._book.read(connection).entries
        at = self._circumstances.read(connection, now_ns=now_ns)
        going_on = incidents.going_on(connection, [row.incident_id for row in rows])
        for row in rows:
            entry = entries.get(row.subscription_id)
            if row.muted_by == MatchKind.RATE or entry is None:
                continue
            if row.incident_id not in going_on or row.document is None:
                yield row, None, None
                continue
            event = AlertEvent.of(json.loads(row.document))
            recent = recently(connection, entry.id, entry.spec, sensor=event.subject, now_ns=now_ns)
            yield row, (entry, event), mute(entry.spec, event, at, recent)

    def _digest(self) -> int:
        """One notification in the place of all that a cap held back for a while."""
        held = and_(
            text("deliveries.state = 'muted'"), outbox_table.c.muted_by == MatchKind.RATE.value
        )
        with self._database.read() as connection:
            due = connection.execute(
                select(outbox_table.c.subscription_id)
                .where(held)
                .group_by(outbox_table.c.subscription_id)
                .having(func.min(outbox_table.c.created_ns) <= self._clock_ns() - DIGEST_NS)
            ).scalars()
            ids = list(due)
        return sum(self._tried(partial(self._digest_one, id_, held)) for id_ in ids)

    def _digest_one(self, id_: str, held: ColumnElement[bool]) -> int:
        with self._planning() as (connection, now_ns):
            entry = self._book.read(connection).entries.get(id_)
            if entry is None:
                return 0
            mine = and_(held, outbox_table.c.subscription_id == id_)
            sensors = sorted(
                connection.execute(select(outbox_table.c.sensor).where(mine).distinct()).scalars()
            )
            number = deliveries.drop_all(connection, mine, reason="told in a digest")
            deliveries.add(connection, [_digest_row(entry, number, sensors, now_ns)])
        return 1

    # -- acknowledgements --------------------------------------------------------------------------

    def _escalate(self) -> int:
        """Tell somebody else of what goes on and nobody has acknowledged in time."""
        due = outbox_table.c.escalate_ns <= self._clock_ns()
        with self._database.read() as connection:
            if connection.execute(select(outbox_table.c.id).where(due).limit(1)).first() is None:
                return 0
        with self._planning() as (connection, now_ns):
            rows = connection.execute(
                select(outbox_table, incident_table.c.state.label("incident_state"), event_table)
                .join(incident_table, incident_table.c.id == outbox_table.c.incident_id)
                .outerjoin(event_table, event_table.c.id == outbox_table.c.event_id)
                .where(due, outbox_table.c.state != DeliveryState.MUTED.value)
                .limit(_AT_ONCE)
            ).mappings()
            entries = self._book.read(connection).entries
            at = self._circumstances.read(connection, now_ns=now_ns)
            told, done = 0, []
            for row in rows.all():
                row_of = Escalating(row, entries)
                if row_of.is_held_back(at):
                    continue  # until nothing does
                done.append(row[outbox_table.c.id])
                if row_of.target is not None:
                    told += deliveries.add(connection, [row_of.delivery(now_ns)])
            connection.execute(
                update(outbox_table).where(outbox_table.c.id.in_(done)).values(escalate_ns=None)
            )
        return told

    def _expire(self) -> int:
        """End acknowledgements whose time is over: it goes on, and nobody looks after it."""
        with self._database.read() as connection:
            expired = incidents.expired_acknowledgements(connection, now_ns=self._clock_ns())
        return sum(self._tried(partial(self._expire_one, id_)) for id_ in expired)

    def _expire_one(self, id_: str) -> int:
        with self._planning() as (connection, now_ns):
            row = incidents.get_row(connection, id_, lock=True)
            until_ns = None if row is None else row.acknowledged_until_ns
            if row is None or until_ns is None or until_ns > now_ns:
                return 0
            handling = Handling(
                connection=connection, outbox=self._outbox, by=row.acknowledged_by, now_ns=now_ns
            )
            return int(handling.unacknowledge(row))

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
            once = partial(self._pruned, step)
            while self._tried(once) >= _AT_ONCE and not self.stopping.is_set():
                pass

    def _pruned(self, step: Callable[[Connection, int], int]) -> int:
        with self._database.begin() as connection:
            return step(connection, self._clock_ns())


def _digest_row(entry: Entry, number: int, sensors: list[str], now_ns: int) -> dict[str, Any]:
    id_ = f"{entry.id}-digest-{now_ns}"
    data = {"subscription": entry.id, "name": entry.spec.name, "suppressed": number,
            "sensors": sensors[:100]}  # fmt: skip
    document = events.made_here(
        EventType.DIGEST.value, subject=entry.id, data=data, at_ns=now_ns, id_=id_
    )
    return deliveries.new_row(
        entry.id,
        id_,
        EventType.DIGEST.value,
        order_key=id_,
        now_ns=now_ns,
        max_age_s=entry.spec.max_age_s,
        payload=json.dumps({"events": [document], "suppressed": number}, ensure_ascii=False),
    )
