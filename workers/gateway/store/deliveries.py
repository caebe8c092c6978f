"""The outbox: what is to be delivered to whom, and what became of it."""

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
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from schemas.api.subscriptions import Attempt, Delivery, DeliveryState
from workers.alerts.muting import Muted
from workers.alerts.telling import First
from workers.gateway.store.sql import insert_new, is_sqlite
from workers.gateway.store.tables import attempts, deliveries, events, subscriptions
from workers.gateway.store.times import as_time

__all__ = [
    "Due",
    "Settled",
    "add",
    "attempt_view",
    "attempts_of",
    "drop",
    "escalate_anew",
    "expire",
    "firsts",
    "free_leases",
    "get_row",
    "hold_back",
    "is_any_due",
    "lease",
    "list_rows",
    "mute_anew",
    "muted_rows",
    "prune",
    "release",
    "resend",
    "settle",
    "view",
]

_AT_ONCE: Final = 500
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


def add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Add deliveries; one that its subscription has of the same event already is left alone."""
    return sum(
        insert_new(connection, deliveries, rows[start : start + _AT_ONCE])
        for start in range(0, len(rows), _AT_ONCE)
    )


def firsts(connection: Connection, incident_ids: Collection[str]) -> dict[str, dict[str, First]]:
    """The first delivery of each incident to each subscription: by incident, by subscription."""
    found: dict[str, dict[str, First]] = {}
    columns = (
        deliveries.c.id,
        deliveries.c.subscription_id,
        deliveries.c.incident_id,
        deliveries.c.state,
    )
    query = (
        select(*columns).where(deliveries.c.incident_id.in_(incident_ids)).order_by(deliveries.c.id)
    )
    for row in connection.execute(query):
        of_incident = found.setdefault(row.incident_id, {})
        of_incident.setdefault(
            row.subscription_id, First(id=row.id, state=DeliveryState(row.state))
        )
    return found


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
        per_subscription: most of one subscription.
        busy: subscriptions of which none is taken.
    """
    due = _due(now_ns, busy).limit(_LOOKED_AT).subquery()
    place = func.row_number().over(
        partition_by=due.c.subscription_id, order_by=(due.c.due_ns, due.c.id)
    )
    ranked = select(due.c.id, due.c.due_ns, place.label("place")).subquery()
    chosen = connection.execute(
        select(ranked.c.id)
        .where(ranked.c.place <= per_subscription)
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
                _is_free(now_ns),
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


def _is_free(now_ns: int) -> ColumnElement[bool]:
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
        select(deliveries.c.id, deliveries.c.subscription_id, deliveries.c.due_ns)
        .join(subscriptions, subscriptions.c.id == deliveries.c.subscription_id)
        .where(
            deliveries.c.state == _WAITING,
            deliveries.c.due_ns <= now_ns,
            _is_free(now_ns),
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


def muted_rows(connection: Connection, *, after: int, limit: int) -> Sequence[Row[Any]]:
    """Deliveries that are held back, with the document of their event."""
    return connection.execute(
        select(deliveries, events.c.document)
        .outerjoin(events, events.c.id == deliveries.c.event_id)
        .where(
            deliveries.c.state == DeliveryState.MUTED.value,
            deliveries.c.muted_by.is_not(None),
            deliveries.c.id > after,
        )
        .order_by(deliveries.c.id)
        .limit(limit)
    ).all()


def release(
    connection: Connection, ids: Collection[int], *, state: DeliveryState, now_ns: int
) -> None:
    """What was held back is told now: by itself, or in its group."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(ids), deliveries.c.state == DeliveryState.MUTED.value)
        .values(
            state=state.value,
            muted_by=None,
            muted_ref=None,
            reason="",
            due_ns=now_ns,
            expires_ns=deliveries.c.expires_ns - deliveries.c.due_ns + now_ns,
        )
    )


def hold_back(connection: Connection, subscription_id: str, incident_id: str, muted: Muted) -> None:
    """What waited in its group is held back after all."""
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.subscription_id == subscription_id,
            deliveries.c.incident_id == incident_id,
            deliveries.c.state == DeliveryState.GROUPED.value,
        )
        .values(
            state=DeliveryState.MUTED.value,
            muted_by=muted.by.value,
            muted_ref=muted.ref,
            reason=muted.reason,
        )
    )


def mute_anew(connection: Connection, id_: int, muted: Muted) -> None:
    """Something else holds it back now."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == id_, deliveries.c.state == DeliveryState.MUTED.value)
        .values(muted_by=muted.by.value, muted_ref=muted.ref, reason=muted.reason)
    )


def escalate_anew(connection: Connection, incident_id: str, *, now_ns: int) -> None:
    """Nobody looks after an incident any more: who is told when nobody does, is told now.

    Who was told already is not told again: it has the event that says so, if it wants it.
    """
    opening = (
        select(func.min(deliveries.c.id))
        .where(deliveries.c.incident_id == incident_id)
        .group_by(deliveries.c.subscription_id)
    )
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(opening), deliveries.c.state != DeliveryState.DROPPED.value)
        .values(escalate_ns=now_ns)
    )


def expire(connection: Connection, *, now_ns: int) -> int:
    """Give up what waits although it is too old, such as that of a disabled subscription."""
    return connection.execute(
        update(deliveries)
        .where(
            deliveries.c.state == _WAITING,
            deliveries.c.expires_ns <= now_ns,
            _is_free(now_ns),
        )
        .values(state=DeliveryState.DEAD.value, reason="too old to be told")
    ).rowcount


def drop(connection: Connection, ids: Collection[int], *, reason: str) -> None:
    """What was held back is never told."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(ids), deliveries.c.state == DeliveryState.MUTED.value)
        .values(state=DeliveryState.DROPPED.value, reason=reason, escalate_ns=None)
    )


def resend(
    connection: Connection, ids: Collection[int], *, now_ns: int, states: Collection[str]
) -> int:
    """Send them again under their ids, if they are in one of these states; returns how many."""
    return connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(ids), deliveries.c.state.in_(states))
        .values(
            state=_WAITING,
            muted_by=None,
            muted_ref=None,
            reason="",
            attempts=0,
            due_ns=now_ns,
            expires_ns=deliveries.c.expires_ns - deliveries.c.created_ns + now_ns,
            leased_by=None,
            lease_until_ns=None,
        )
    ).rowcount


def get_row(connection: Connection, id_: int) -> Row[Any] | None:
    """One delivery."""
    return connection.execute(select(deliveries).where(deliveries.c.id == id_)).one_or_none()


def list_rows(
    connection: Connection,
    *,
    subscription_id: str | None = None,
    incident_id: str | None = None,
    states: Collection[str] = (),
    before: int | None = None,
    limit: int,
) -> Sequence[Row[Any]]:
    """Deliveries, the newest first."""
    query = select(deliveries).order_by(deliveries.c.id.desc()).limit(limit)
    if subscription_id is not None:
        query = query.where(deliveries.c.subscription_id == subscription_id)
    if incident_id is not None:
        query = query.where(deliveries.c.incident_id == incident_id)
    if states:
        query = query.where(deliveries.c.state.in_(states))
    if before is not None:
        query = query.where(deliveries.c.id < before)
    return connection.execute(query).all()


def view(row: Row[Any]) -> Delivery:
    """A delivery as it is shown."""
    is_waiting = row.state == _WAITING
    return Delivery(
        id=row.id,
        event_id=row.event_id,
        type=row.type,
        incident=row.incident_id,
        state=DeliveryState(row.state),
        muted_by=row.muted_by,
        reason=row.reason,
        attempts=row.attempts,
        due_at=as_time(row.due_ns) if is_waiting else None,
        created_at=as_time(row.created_ns),
        delivered_at=as_time(row.delivered_ns),
    )


def attempts_of(connection: Connection, id_: int) -> list[Attempt]:
    """The attempts of a delivery, the oldest first."""
    rows = connection.execute(
        select(attempts).where(attempts.c.delivery_id == id_).order_by(attempts.c.id)
    )
    return [attempt_view(row) for row in rows]


def attempt_view(row: Row[Any]) -> Attempt:
    """An attempt as it is shown."""
    return Attempt(
        at=as_time(row.at_ns),
        took_ms=row.took_ms,
        status=row.status,
        error=row.error,
        response=row.response,
    )


def prune(connection: Connection, *, before_ns: int, limit: int) -> int:
    """Delete deliveries that came about before a time and are done with, and their attempts."""
    old = (
        select(deliveries.c.id)
        .where(
            deliveries.c.created_ns < before_ns,
            deliveries.c.state.not_in((_WAITING, DeliveryState.MUTED.value)),
        )
        .order_by(deliveries.c.created_ns)
        .limit(limit)
    )
    return connection.execute(delete(deliveries).where(deliveries.c.id.in_(old))).rowcount
