"""What a subscription was told of late: for its cool-down and its cap."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from schemas.api.subscriptions import DeliveryState, EventType
from workers.alerts.muting import Recently
from workers.gateway.store.tables import deliveries

__all__ = ["recently"]

_TOLD = (DeliveryState.WAITING.value, DeliveryState.DELIVERED.value, DeliveryState.GROUPED.value)
_OPENINGS = (EventType.OPENED.value, EventType.UPDATED.value)


def recently(
    connection: Connection, subscription_id: str, *, sensor: str, since_ns: int
) -> Recently:
    """What was told of a sensor, and how much in all since a time."""
    told = (
        deliveries.c.subscription_id == subscription_id,
        deliveries.c.state.in_(_TOLD),
        deliveries.c.type.in_(_OPENINGS),
    )
    told_ns = func.coalesce(deliveries.c.delivered_ns, deliveries.c.created_ns)
    last = select(func.max(told_ns)).where(*told, deliveries.c.sensor == sensor)
    number = (
        select(func.count(deliveries.c.incident_id.distinct()))
        .select_from(deliveries)
        .where(*told, deliveries.c.created_ns >= since_ns)
    )
    return Recently(
        sensor_told_ns=connection.execute(last).scalar(),
        told_last_hour=connection.execute(number).scalar() or 0,
    )
