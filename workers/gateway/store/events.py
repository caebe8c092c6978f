"""What happened, in one order: the order of the commits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, delete, exists, func, insert, select

from schemas.wire.timestamp import short_ns
from workers.gateway.store.sql import add_to
from workers.gateway.store.tables import counters, deliveries, events

__all__ = [
    "GATEWAY",
    "Happened",
    "StoredEvent",
    "append",
    "bounds",
    "documents",
    "known_ids",
    "lock",
    "made_here",
    "prune",
    "read_after",
]

GATEWAY: Final = "/vigie/gateway"
"""Source of the events that the gateway makes itself."""
_MAX_READ: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Happened:
    """An event to be kept.

    Attributes:
        document: the CloudEvent.
        incident_id: the incident that it is about; None if it is about none.
        tenant: whose it is.
    """

    document: Mapping[str, Any]
    incident_id: str | None = None
    tenant: str = ""


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """An event as it is kept: with its number and the text of its document."""

    seq: int
    type: str
    subject: str
    incident_id: str | None
    tenant: str
    text: str


def made_here(
    type_: str, *, subject: str, data: Mapping[str, Any], at_ns: int, id_: str = ""
) -> dict[str, Any]:
    """A CloudEvent of the gateway's own."""
    return {
        "specversion": "1.0",
        "id": id_ or str(uuid4()),
        "source": GATEWAY,
        "type": type_,
        "subject": subject,
        "time": short_ns(at_ns),
        "datacontenttype": "application/json",
        "data": dict(data),
    }


def lock(connection: Connection) -> None:
    """Wait for all others that plan deliveries or handle incidents, and let them wait for us.

    Taken first in such a transaction, before any row, so that no two of them wait for each other:
    who releases what was held back must not miss that its incident ends meanwhile.
    """
    add_to(connection, counters, "events", 0)


def append(connection: Connection, happened: Sequence[Happened], *, now_ns: int) -> list[int]:
    """Keep events and return their numbers.

    Who has a number holds the counter until its transaction ends, so numbers become visible in
    their order: a reader that has seen 7 never misses a 6 that comes later.
    """
    if not happened:
        return []
    last = add_to(connection, counters, "events", len(happened))
    numbers = list(range(last - len(happened) + 1, last + 1))
    connection.execute(
        insert(events),
        [
            {
                "seq": seq,
                "id": one.document["id"],
                "type": one.document["type"],
                "subject": one.document["subject"],
                "incident_id": one.incident_id,
                "tenant": one.tenant,
                "at_ns": now_ns,
                "document": json.dumps(one.document, ensure_ascii=False, separators=(",", ":")),
            }
            for seq, one in zip(numbers, happened, strict=True)
        ],
    )
    return numbers


def known_ids(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of these events that are kept."""
    return set(connection.execute(select(events.c.id).where(events.c.id.in_(ids))).scalars())


def documents(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The documents of those of these events that are kept, by id."""
    rows = connection.execute(select(events.c.id, events.c.document).where(events.c.id.in_(ids)))
    return {row.id: json.loads(row.document) for row in rows}


def read_after(connection: Connection, seq: int, *, limit: int = _MAX_READ) -> list[StoredEvent]:
    """The events behind a number, in their order."""
    rows = connection.execute(
        select(events).where(events.c.seq > seq).order_by(events.c.seq).limit(limit)
    )
    return [
        StoredEvent(
            seq=row.seq,
            type=row.type,
            subject=row.subject,
            incident_id=row.incident_id,
            tenant=row.tenant,
            text=row.document,
        )
        for row in rows
    ]


def bounds(connection: Connection) -> tuple[int, int]:
    """Numbers before the first event that is kept, and of the last that there was."""
    first = connection.execute(select(func.min(events.c.seq))).scalar()
    last = connection.execute(select(counters.c.value).where(counters.c.name == "events")).scalar()
    last = last or 0
    return (last if first is None else first - 1), last


def prune(connection: Connection, *, before_ns: int, limit: int) -> int:
    """Delete events from before a time; those that are still to be delivered stay."""
    needed = exists().where(
        deliveries.c.event_id == events.c.id, deliveries.c.state.in_(("waiting", "muted"))
    )
    old = (
        select(events.c.seq)
        .where(events.c.at_ns < before_ns, ~needed)
        .order_by(events.c.at_ns)
        .limit(limit)
    )
    return connection.execute(delete(events).where(events.c.seq.in_(old))).rowcount
