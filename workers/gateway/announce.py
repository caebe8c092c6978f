"""Events that the gateway makes itself, kept and told in one transaction like the stream's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from schemas.api.subscriptions import EventType
from workers.alerts.event import AlertEvent
from workers.gateway.outbox import News, Outbox
from workers.gateway.store import events

__all__ = ["announce", "announce_document"]


def announce(
    connection: Connection,
    outbox: Outbox,
    type_: EventType,
    *,
    subject: str,
    data: Mapping[str, Any],
    tenant: str,
    now_ns: int,
    incident_id: str | None = None,
) -> str:
    """Keep an event and tell who wants it; returns its id.

    Args:
        connection: of the transaction that does what it is about.
        outbox: finds out who is told.
        type_: what happened.
        subject: the sensor, or what it is about.
        data: of the event; of an incident as the stream has it, with what was done beside.
        tenant: whose it is.
        now_ns: the time.
        incident_id: the incident; None if it is about none.
    """
    document = events.made_here(type_.value, subject=subject, data=data, at_ns=now_ns)
    announce_document(
        connection, outbox, document, tenant=tenant, now_ns=now_ns, incident_id=incident_id
    )
    return str(document["id"])


def announce_document(
    connection: Connection,
    outbox: Outbox,
    document: Mapping[str, Any],
    *,
    tenant: str,
    now_ns: int,
    incident_id: str | None,
) -> None:
    """The same for a CloudEvent that is written already."""
    happened = events.Happened(document=document, incident_id=incident_id, tenant=tenant)
    events.append(connection, [happened], now_ns=now_ns)
    news = News(event=AlertEvent.of(document), tenant=tenant, at_ns=now_ns)
    outbox.tell(connection, [news], now_ns=now_ns)
