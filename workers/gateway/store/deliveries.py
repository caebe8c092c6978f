"""The outbox: what is to be delivered to whom, and what became of it.

The time at which one that waits is due is, of one that is over, the time at which it ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    delete,
    func,
    select,
    text,
    update,
)

from schemas.api.subscriptions import Attempt, Delivery, DeliveryState
from workers.alerts.muting import Muted
from workers.alerts.telling import First
from workers.gateway.store.leases import is_free
from workers.gateway.store.sql import insert_new
from workers.gateway.store.tables import attempts, deliveries, events
from workers.gateway.store.times import as_time

__all__ = [
    "add",
    "attempt_view",
    "attempts_of",
    "drop",
    "drop_all",
    "escalate_anew",
    "expire",
    "firsts",
    "get_row",
    "hold_back",
    "list_rows",
    "mute_anew",
    "muted_rows",
    "new_row",
    "prune",
    "release",
    "resend",
    "ungroup",
    "view",
]

_AT_ONCE: Final = 500
_LOOKED_AT: Final = 1000
"""Most rows that are due of which a lease chooses."""
_WAITING: Final = DeliveryState.WAITING.value


def new_row(
    subscription_id: str,
    event_id: str,
    type_: str,
    *,
    order_key: str,
    now_ns: int,
    max_age_s: float,
    **more: Any,
) -> dict[str, Any]:
    """A delivery that is due now; `more` are the columns that are others."""
    return {
        "subscription_id": subscription_id,
        "event_id": event_id,
        "type": type_,
        "incident_id": None,
        "order_key": order_key,
        "sensor": "",
        "payload": None,
        "state": _WAITING,
        "muted_by": None,
        "muted_ref": None,
        "reason": "",
        "due_ns": now_ns,
        "expires_ns": now_ns + round(max_age_s * 1e9),
        "escalate_ns": None,
        "created_ns": now_ns,
    } | more


def add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Add deliveries; one that its subscription has of the same event already is left alone."""
    return sum(
        insert_new(connection, deliveries, rows[start : start + _AT_ONCE])
        for start in range(0, len(rows), _AT_ONCE)
    )


def firsts(connection: Connection, incident_ids: Collection[str]) -> dict[str, dict[str, First]]:
    """The first delivery of each incident to each subscription: by incident, by subscription."""
    first = (
        select(func.min(deliveries.c.id).label("id"))
        .where(deliveries.c.incident_id.in_(incident_ids))
        .group_by(deliveries.c.incident_id, deliveries.c.subscription_id)
        .subquery()
    )
    query = select(
        deliveries.c.id,
        deliveries.c.subscription_id,
        deliveries.c.incident_id,
        deliveries.c.state,
        deliveries.c.order_key,
    ).join(first, first.c.id == deliveries.c.id)
    found: dict[str, dict[str, First]] = {}
    for row in connection.execute(query):
        found.setdefault(row.incident_id, {})[row.subscription_id] = First(
            id=row.id, state=DeliveryState(row.state), order_key=row.order_key
        )
    return found


def muted_rows(
    connection: Connection, *, after: int, limit: int, up_to: int | None = None
) -> Sequence[Row[Any]]:
    """Deliveries that are held back, with the document of their event, by their numbers."""
    query = (
        select(deliveries, events.c.document)
        .outerjoin(events, events.c.id == deliveries.c.event_id)
        .where(text("deliveries.state = 'muted'"), deliveries.c.id > after)  # as the index has it
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    return connection.execute(
        query if up_to is None else query.where(deliveries.c.id <= up_to)
    ).all()


def release(
    connection: Connection, id_: int, *, state: DeliveryState, order_key: str, now_ns: int
) -> bool:
    """What was held back is told now, by itself or in its group; false if it is not held back.

    What counts from its beginning, its age and its escalation, counts from now.
    """
    waited = now_ns - deliveries.c.due_ns
    return (
        connection.execute(
            update(deliveries)
            .where(deliveries.c.id == id_, deliveries.c.state == DeliveryState.MUTED.value)
            .values(
                state=state.value,
                order_key=order_key,
                muted_by=None,
                muted_ref=None,
                reason="",
                due_ns=now_ns,
                expires_ns=deliveries.c.expires_ns + waited,
                escalate_ns=deliveries.c.escalate_ns + waited,
            )
        ).rowcount
        > 0
    )


def hold_back(connection: Connection, subscription_id: str, incident_id: str, muted: Muted) -> None:
    """What waited in its group is held back after all."""
    _regrouped(
        connection,
        subscription_id,
        incident_id,
        state=DeliveryState.MUTED.value,
        order_key=incident_id,
        muted_by=muted.by.value,
        muted_ref=muted.ref,
        reason=muted.reason,
    )


def ungroup(connection: Connection, subscription_id: str, incident_id: str, *, now_ns: int) -> None:
    """What waited in a group that there is no more is told by itself."""
    _regrouped(
        connection,
        subscription_id,
        incident_id,
        state=_WAITING,
        order_key=incident_id,
        due_ns=now_ns,
    )


def _regrouped(
    connection: Connection, subscription_id: str, incident_id: str, **values: Any
) -> None:
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.subscription_id == subscription_id,
            deliveries.c.incident_id == incident_id,
            deliveries.c.state == DeliveryState.GROUPED.value,
        )
        .values(**values)
    )


def mute_anew(connection: Connection, id_: int, muted: Muted) -> None:
    """Something else holds it back now."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == id_, deliveries.c.state == DeliveryState.MUTED.value)
        .values(muted_by=muted.by.value, muted_ref=muted.ref, reason=muted.reason)
    )


def escalate_anew(connection: Connection, incident_id: str, *, now_ns: int) -> None:
    """Nobody looks after an incident any more: who is told when nobody does, is told now."""
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
            is_free(now_ns),
        )
        .values(state=DeliveryState.DEAD.value, due_ns=now_ns, reason="too old to be told")
    ).rowcount


def drop(connection: Connection, ids: Collection[int], *, reason: str) -> None:
    """What was held back is never told."""
    if ids:
        drop_all(connection, deliveries.c.id.in_(ids), reason=reason)


def drop_all(connection: Connection, which: ColumnElement[bool], *, reason: str) -> int:
    """The same by a condition; returns how many."""
    return connection.execute(
        update(deliveries)
        .where(which, deliveries.c.state == DeliveryState.MUTED.value)
        .values(state=DeliveryState.DROPPED.value, reason=reason, escalate_ns=None)
    ).rowcount


def resend(
    connection: Connection, which: ColumnElement[bool], *, now_ns: int, states: Collection[str]
) -> int:
    """Send some again under their ids, if they are in one of these states; returns how many."""
    return connection.execute(
        update(deliveries)
        .where(which, deliveries.c.state.in_(states))
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
        subscription=row.subscription_id,
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
