"""What subscriptions were told or are to be told, each attempt, and sending again."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection, Row

from schemas.api.base import Page
from schemas.api.subscriptions import Attempt, Delivery, DeliveryState
from workers.api.auth import Operator, Principal, Reader
from workers.api.changes import audit, gateway_of
from workers.api.paging import CursorParameter, LimitParameter, decode_cursor, encode_cursor
from workers.api.problems import RESPONSES, ProblemError
from workers.api.routes.subscriptions import subscription_row
from workers.gateway.store import deliveries
from workers.gateway.store.tables import deliveries as delivery_table

router = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"], responses=RESPONSES)

_RESENDABLE: Final = (DeliveryState.DEAD.value, DeliveryState.DELIVERED.value)


@router.get("/{subscription_id}/deliveries", operation_id="list_deliveries")
def list_deliveries(
    subscription_id: UUID,
    request: Request,
    principal: Reader,
    state: DeliveryState | None = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 100,
) -> Page[Delivery]:
    """What it was told or is to be told, the latest first; `state=dead` are the dead letters."""
    before = None if cursor is None else decode_cursor(cursor, int)[0]
    with gateway_of(request).database.read() as connection:
        row = subscription_row(connection, str(subscription_id), principal)
        rows = deliveries.list_rows(
            connection,
            subscription_id=row.id,
            states=() if state is None else (state.value,),
            before=before,
            limit=limit + 1,
        )
    more = len(rows) > limit
    return Page(
        items=[deliveries.view(one) for one in rows[:limit]],
        next=encode_cursor(rows[limit - 1].id) if more else None,
    )


@router.get("/{subscription_id}/deliveries/{delivery_id}/attempts", operation_id="list_attempts")
def list_attempts(
    subscription_id: UUID, delivery_id: int, request: Request, principal: Reader
) -> list[Attempt]:
    """How each attempt went, the oldest first."""
    with gateway_of(request).database.read() as connection:
        found = _delivery(connection, str(subscription_id), delivery_id, principal)
        return deliveries.attempts_of(connection, found.id)


@router.post("/{subscription_id}/deliveries/{delivery_id}:resend", operation_id="resend_delivery")
def resend_delivery(
    subscription_id: UUID, delivery_id: int, request: Request, principal: Operator
) -> Delivery:
    """Send it again, under the same webhook-id: who had it knows."""
    gateway, now_ns = gateway_of(request), request.app.state.clock()
    with gateway.database.begin() as connection:
        found = _delivery(connection, str(subscription_id), delivery_id, principal)
        if not deliveries.resend(
            connection, delivery_table.c.id == found.id, now_ns=now_ns, states=_RESENDABLE
        ):
            raise ProblemError(
                HTTPStatus.CONFLICT, f"It is {found.state}: only what is over can be sent again."
            )
        audit(connection, principal, "delivery.resend", str(found.id))
        view = deliveries.view(_delivery(connection, str(subscription_id), delivery_id, principal))
    gateway.signal.notify()
    return view


def _delivery(
    connection: Connection, subscription_id: str, delivery_id: int, principal: Principal
) -> Row[Any]:
    row = subscription_row(connection, subscription_id, principal)
    found = deliveries.get_row(connection, delivery_id) if 0 < delivery_id < 2**63 else None
    if found is None or found.subscription_id != row.id:
        raise ProblemError(HTTPStatus.NOT_FOUND, "It has no such delivery.")
    return found
