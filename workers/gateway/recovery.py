"""Telling a subscription again, or late, what it was not told since a time."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from schemas.api.subscriptions import DeliveryState, Recovered
from workers.alerts.event import AlertEvent
from workers.gateway.book import Entry
from workers.gateway.outbox import News, Outbox
from workers.gateway.store import deliveries
from workers.gateway.store.tables import deliveries as outbox_table
from workers.gateway.store.tables import events

__all__ = ["recover"]

_AT_ONCE = 500


def recover(
    connection: Connection, outbox: Outbox, entry: Entry, *, since_ns: int, now_ns: int
) -> Recovered:
    """Deliver what was given up, and the events that it wants and was never told.

    Args:
        connection: of one transaction.
        outbox: finds out what it wants.
        entry: the subscription.
        since_ns: from this time of the gateway on, as far back as events are kept.
        now_ns: the time.
    """
    dead = connection.execute(
        select(outbox_table.c.id).where(
            outbox_table.c.subscription_id == entry.id,
            outbox_table.c.state == DeliveryState.DEAD.value,
            outbox_table.c.created_ns >= since_ns,
        )
    ).scalars()
    resent = deliveries.resend(
        connection, list(dead), now_ns=now_ns, states=(DeliveryState.DEAD.value,)
    )
    told = select(outbox_table.c.event_id).where(outbox_table.c.subscription_id == entry.id)
    after, added = 0, 0
    while True:
        rows = connection.execute(
            select(events)
            .where(events.c.at_ns >= since_ns, events.c.seq > after, events.c.id.not_in(told))
            .order_by(events.c.seq)
            .limit(_AT_ONCE)
        ).all()
        if not rows:
            return Recovered(resent=resent, added=added)
        after = rows[-1].seq
        news = [
            News(event=AlertEvent.of(json.loads(row.document)), tenant=row.tenant, at_ns=now_ns)
            for row in rows
        ]
        added += outbox.tell(connection, news, now_ns=now_ns, only=entry.id)
