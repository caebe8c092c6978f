"""What a subscription was told of late: for its cool-down and its cap."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from schemas.api.subscriptions import DeliveryState, EventType, SubscriptionSpec
from workers.alerts.muting import HOUR_NS, Recently
from workers.gateway.store.tables import deliveries

__all__ = ["recently"]

_TOLD = (DeliveryState.WAITING.value, DeliveryState.DELIVERED.value, DeliveryState.GROUPED.value)
_LATE_NS = 24 * HOUR_NS
_OPENINGS = (EventType.OPENED.value, EventType.UPDATED.value)


def recently(
    connection: Connection,
    subscription_id: str,
    spec: SubscriptionSpec,
    *,
    sensor: str,
    now_ns: int,
) -> Recently:
    """What was told of a sensor within a cool-down, and how much in all within an hour.

    Nothing is looked at for a subscription that has neither a cool-down nor a cap.
    """
    if not spec.cooldown_s and spec.max_per_hour is None:
        return Recently()
    told = (
        deliveries.c.subscription_id == subscription_id,
        deliveries.c.state.in_(_TOLD),
        deliveries.c.type.in_(_OPENINGS),
    )
    told_ns = func.coalesce(deliveries.c.delivered_ns, deliveries.c.created_ns)
    # What is told late was made before: by its age, of which there is a bound.
    since_ns = now_ns - max(round(spec.cooldown_s * 1e9), HOUR_NS) - _LATE_NS
    recent = deliveries.c.created_ns >= since_ns
    last = select(func.max(told_ns)).where(*told, recent, deliveries.c.sensor == sensor)
    number = (
        select(func.count(deliveries.c.incident_id.distinct()))
        .select_from(deliveries)
        .where(*told, deliveries.c.created_ns >= now_ns - HOUR_NS)
    )
    return Recently(
        sensor_told_ns=connection.execute(last).scalar(),
        told_last_hour=connection.execute(number).scalar() or 0,
    )
