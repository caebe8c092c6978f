"""Whether a subscription is told of an event, by what it was told of the same incident before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from schemas.api.subscriptions import DeliveryState, EventType, SubscriptionSpec
from workers.alerts.event import AlertEvent

__all__ = ["FOLLOW_UPS", "First", "Telling", "as_opening", "decide"]

FOLLOW_UPS: Final = frozenset(
    {
        EventType.UPDATED,
        EventType.RESOLVED,
        EventType.ACKNOWLEDGED,
        EventType.UNACKNOWLEDGED,
        EventType.COMMENTED,
        EventType.HEALTHY,
    }
)
"""What happens to an incident behind its opening."""


@dataclass(frozen=True, kw_only=True)
class First:
    """The first delivery of an incident to a subscription."""

    id: int
    state: DeliveryState
    order_key: str = ""
    """What it keeps its order with; of a grouped one, its group."""


class Telling(Enum):
    """What is to be done."""

    NOTHING = auto()
    """It is not told."""
    OPEN = auto()
    """It is told, unless something holds it back."""
    FOLLOW = auto()
    """It is told behind what was told before, whatever holds others back."""


def as_opening(event: AlertEvent) -> AlertEvent:
    """The event as those look at it who want to hear of an incident once it is bad enough."""
    opened = EventType.OPENED.value
    return replace(event, type=opened, attributes={**event.attributes, "type": opened})


def decide(
    spec: SubscriptionSpec, event: AlertEvent, first: First | None, *, is_wanted: bool
) -> Telling:
    """What becomes of an event for a subscription.

    An incident may open below what a subscription asks for and grow: the first event that passes
    its filters counts as the opening, whatever it is. What a receiver was told of is followed up,
    whether or not it would still pass: or it would stay open there for ever.

    Args:
        spec: the subscription.
        event: what happened.
        first: what it was told of the incident before.
        is_wanted: whether the event passes; one that goes on is looked at as an opening.
    """
    if event.type in FOLLOW_UPS and event.incident_id is not None:
        return _of_follow_up(spec, event, first, is_wanted=is_wanted)
    if event.is_suppressed and not spec.suppressed:
        return Telling.NOTHING
    return Telling.OPEN if is_wanted and first is None else Telling.NOTHING


def _of_follow_up(
    spec: SubscriptionSpec, event: AlertEvent, first: First | None, *, is_wanted: bool
) -> Telling:
    if first is None:
        if not is_wanted or (event.is_suppressed and not spec.suppressed):
            return Telling.NOTHING
        if event.type == EventType.UPDATED:
            return Telling.OPEN
        opening = EventType.UNHEALTHY if event.type == EventType.HEALTHY else EventType.OPENED
        return Telling.NOTHING if opening in spec.types else Telling.FOLLOW
    if first.state is DeliveryState.GROUPED:  # its group has to know of all that happens
        return Telling.FOLLOW
    # What is held back is told as it is then, if it goes on.
    is_told = first.state not in {DeliveryState.MUTED, DeliveryState.DROPPED}
    return Telling.FOLLOW if is_told and event.type in spec.types else Telling.NOTHING
