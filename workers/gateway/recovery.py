"""Telling a subscription again, or late, what it was not told since a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, select

from schemas.api.subscriptions import DeliveryState, Recovered
from workers.alerts.event import AlertEvent
from workers.gateway.book import Entry
from workers.gateway.outbox import News, Outbox
from workers.gateway.store import deliveries, events
from workers.gateway.store.database import Database
from workers.gateway.store.tables import deliveries as outbox_table
from workers.gateway.store.tables import events as event_table

__all__ = ["recover"]

_AT_ONCE = 500


def recover(
    database: Database, outbox: Outbox, entry: Entry, *, since_ns: int, now_ns: int
) -> Recovered:
    """Deliver what was given up, and the events that it wants and was never told.

    Some at a time, each in a transaction of its own, so that nobody waits for all of them; what a
    crash leaves undone, another call does.

    Args:
        database: of the gateway.
        outbox: finds out what it wants.
        entry: the subscription.
        since_ns: from this time of the gateway on, as far back as events are kept.
        now_ns: the time.
    """
    dead = and_(outbox_table.c.subscription_id == entry.id, outbox_table.c.created_ns >= since_ns)
    with database.begin() as connection:
        resent = deliveries.resend(
            connection, dead, now_ns=now_ns, states=(DeliveryState.DEAD.value,)
        )
    after, added = 0, 0
    while True:
        with database.begin() as connection:
            events.lock(connection)
            rows = _untold(connection, entry.id, since_ns=since_ns, after=after)
            news = [
                News(event=AlertEvent.of(json.loads(row.document)), tenant=row.tenant, at_ns=now_ns)
                for row in rows
            ]
            added += outbox.tell(connection, news, now_ns=now_ns, only=entry.id)
        if not rows:
            return Recovered(resent=resent, added=added)
        after = rows[-1].seq


def _untold(
    connection: Connection, subscription_id: str, *, since_ns: int, after: int
) -> Sequence[Row[Any]]:
    told = exists().where(
        outbox_table.c.event_id == event_table.c.id,
        outbox_table.c.subscription_id == subscription_id,
    )
    return connection.execute(
        select(event_table)
        .where(event_table.c.at_ns >= since_ns, event_table.c.seq > after, ~told)
        .order_by(event_table.c.seq)
        .limit(_AT_ONCE)
    ).all()
