"""Leases of deliveries: taken so that nobody else sends them, and settled."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    case,
    exists,
    func,
    insert,
    select,
    update,
)

from schemas.api.subscriptions import DeliveryState
from workers.gateway.store.sql import is_sqlite
from workers.gateway.store.tables import attempts, deliveries, events, subscriptions

__all__ = [
    "Due",
    "Settled",
    "free_leases",
    "is_any_due",
    "is_free",
    "lease",
    "settle",
]

_LOOKED_AT: Final = 1000
"""Most rows that are due of which a lease chooses."""
_WAITING: Final = DeliveryState.WAITING.value


@dataclass(frozen=True, kw_only=True)
class Due:
    """A delivery that was leased.

    Attributes:
        documents: the CloudEvents to send.
        payload: what else there is to say: the labels of a group, the number of a digest.
        failing_since_ns: since when all deliveries of its subscription fail; None if they do not.
    """

    id: int
    subscription_id: str
    event_id: str
    type: str
    attempts: int
    created_ns: int
    expires_ns: int
    documents: tuple[Mapping[str, Any], ...]
    payload: Mapping[str, Any]
    failing_since_ns: int | None


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What became of one attempt.

    Attributes:
        state: from now on.
        due_ns: of the next attempt, if there is one.
        reason: why it failed; empty if it did not.
    """

    id: int
    state: DeliveryState
    due_ns: int
    reason: str
    at_ns: int
    took_ms: float
    status: int | None
    error: str
    response: str
    ended_ns: int


def lease(
    connection: Connection,
    *,
    holder: str,
    now_ns: int,
    until_ns: int,
    limit: int,
    per_subscription: int,
    busy: Collection[str],
) -> list[Due]:
    """Take deliveries that are due, so that nobody else does until the lease is over.

    What has one order key is taken in its order: the next one not before the one before it is
    settled.

    Args:
        connection: of a transaction that writes.
        holder: who takes them.
        now_ns: the time.
        until_ns: end of the lease.
        limit: most of them.
        per_subscription: most of one subscription; of one that fails, only one.
        busy: subscriptions of which none is taken.
    """
    due = _due(now_ns, busy).limit(_LOOKED_AT).subquery()
    most = case((due.c.failing_since_ns.is_(None), per_subscription), else_=1)
    place = func.row_number().over(
        partition_by=due.c.subscription_id, order_by=(due.c.due_ns, due.c.id)
    )
    ranked = select(due.c.id, due.c.due_ns, most.label("most"), place.label("place")).subquery()
    chosen = connection.execute(
        select(ranked.c.id)
        .where(ranked.c.place <= ranked.c.most)
        .order_by(ranked.c.due_ns, ranked.c.id)
        .limit(limit)
    ).scalars()
    ids = list(chosen)
    if ids and not is_sqlite(connection):
        free = (
            select(deliveries.c.id)
            .where(
                deliveries.c.id.in_(ids),
                deliveries.c.state == _WAITING,
                deliveries.c.due_ns <= now_ns,  # another gateway may have tried it since
                is_free(now_ns),
            )
            .with_for_update(skip_locked=True)
        )
        ids = list(connection.execute(free).scalars())
    if not ids:
        return []
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(ids))
        .values(leased_by=holder, lease_until_ns=until_ns)
    )
    rows = connection.execute(
        select(deliveries, events.c.document, subscriptions.c.failing_since_ns)
        .outerjoin(events, events.c.id == deliveries.c.event_id)
        .join(subscriptions, subscriptions.c.id == deliveries.c.subscription_id)
        .where(deliveries.c.id.in_(ids))
        .order_by(deliveries.c.due_ns, deliveries.c.id)
    )
    return [_due_of(row) for row in rows]


def is_any_due(connection: Connection, *, now_ns: int) -> bool:
    """Whether a lease would find something now."""
    return connection.execute(_due(now_ns, ()).limit(1)).first() is not None


def is_free(now_ns: int) -> ColumnElement[bool]:
    """Whether nobody has a delivery: it was not leased, or the lease is over."""
    return deliveries.c.lease_until_ns.is_(None) | (deliveries.c.lease_until_ns <= now_ns)


def _due(now_ns: int, busy: Collection[str]) -> Select[Any]:
    before = deliveries.alias("before")
    earlier = exists().where(
        before.c.subscription_id == deliveries.c.subscription_id,
        before.c.order_key == deliveries.c.order_key,
        before.c.id < deliveries.c.id,
        before.c.state == _WAITING,
    )
    query = (
        select(
            deliveries.c.id,
            deliveries.c.subscription_id,
            deliveries.c.due_ns,
            subscriptions.c.failing_since_ns,
        )
        .join(subscriptions, subscriptions.c.id == deliveries.c.subscription_id)
        .where(
            deliveries.c.state == _WAITING,
            deliveries.c.due_ns <= now_ns,
            is_free(now_ns),
            subscriptions.c.enabled,
            ~earlier,
        )
        .order_by(deliveries.c.due_ns, deliveries.c.id)
    )
    return query.where(deliveries.c.subscription_id.not_in(busy)) if busy else query


def _due_of(row: Row[Any]) -> Due:
    payload: dict[str, Any] = {} if row.payload is None else json.loads(row.payload)
    documents = payload.pop("events", None)
    if documents is None:
        documents = [] if row.document is None else [json.loads(row.document)]
    return Due(
        id=row.id,
        subscription_id=row.subscription_id,
        event_id=row.event_id,
        type=row.type,
        attempts=row.attempts,
        created_ns=row.created_ns,
        expires_ns=row.expires_ns,
        documents=tuple(documents),
        payload=payload,
        failing_since_ns=row.failing_since_ns,
    )


def settle(connection: Connection, settled: Sequence[Settled], *, holder: str) -> None:
    """Write down what became of attempts; of one whose lease somebody else has by now, too.

    Whoever sent it, it was delivered; a failure, however, is left to who tries now.
    """
    for is_delivered in (True, False):
        some = [one for one in settled if (one.state is DeliveryState.DELIVERED) == is_delivered]
        if not some:
            continue
        query = update(deliveries).where(deliveries.c.id == bindparam("of"))
        if not is_delivered:
            query = query.where(deliveries.c.leased_by == holder)
        connection.execute(
            query.values(
                state=bindparam("then"),
                due_ns=bindparam("next_ns"),
                reason=bindparam("why"),
                delivered_ns=bindparam("arrived_ns"),
                attempts=deliveries.c.attempts + 1,
                leased_by=None,
                lease_until_ns=None,
            ),
            [
                {
                    "of": one.id,
                    "then": one.state.value,
                    "next_ns": one.due_ns,
                    "why": one.reason,
                    "arrived_ns": one.ended_ns if is_delivered else None,
                }
                for one in some
            ],
        )
    rows = [
        {
            "delivery_id": one.id,
            "at_ns": one.at_ns,
            "took_ms": one.took_ms,
            "status": one.status,
            "error": one.error,
            "response": one.response,
        }
        for one in settled
    ]
    there = set(
        connection.execute(
            select(deliveries.c.id).where(deliveries.c.id.in_([one.id for one in settled]))
        ).scalars()
    )  # a subscription may have been deleted meanwhile
    kept = [row for row in rows if row["delivery_id"] in there]
    if kept:
        connection.execute(insert(attempts), kept)


def free_leases(connection: Connection, *, holder: str | None = None) -> int:
    """Give back what is leased: by one holder, or by all (where nobody else can be there)."""
    query = update(deliveries).where(deliveries.c.state == _WAITING)
    query = query.where(
        deliveries.c.leased_by.is_not(None) if holder is None else deliveries.c.leased_by == holder
    )
    return connection.execute(query.values(leased_by=None, lease_until_ns=None)).rowcount
