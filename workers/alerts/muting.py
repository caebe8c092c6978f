"""What holds a notification back, at a time: silences, inhibitions, hours, a cool-down, a cap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from schemas.api.matchers import MatchKind
from schemas.api.subscriptions import SubscriptionSpec
from workers.alerts.event import AlertEvent
from workers.alerts.hours import is_within
from workers.alerts.inhibition import Inhibited

__all__ = ["HOUR_NS", "Circumstances", "Muted", "Recently", "mute"]

HOUR_NS: Final = 3_600 * 10**9

SilencedBy = Callable[[AlertEvent, str], str | None]
InhibitedBy = Callable[[AlertEvent], Inhibited | None]


@dataclass(frozen=True, kw_only=True)
class Muted:
    """Why something is not told now.

    Attributes:
        by: what holds it back.
        ref: the silence, or the incident that inhibits; empty for others.
        reason: in words.
    """

    by: MatchKind
    ref: str = ""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What holds for all at a time.

    Attributes:
        now_ns: the time.
        silenced_by: id of a silence of a tenant that holds for an event now; None if none does.
        inhibited_by: what mutes an event's incident now; None if nothing does.
    """

    now_ns: int
    silenced_by: SilencedBy
    inhibited_by: InhibitedBy


@dataclass(frozen=True, kw_only=True)
class Recently:
    """What a subscription was told of late.

    Attributes:
        sensor_told_ns: when the sensor's last incident was told; None if that is long ago.
        told_last_hour: openings told in the last hour.
    """

    sensor_told_ns: int | None = None
    told_last_hour: int = 0


def mute(
    spec: SubscriptionSpec, event: AlertEvent, at: Circumstances, recently: Recently
) -> Muted | None:
    """What holds the opening of an incident back from a subscription; None if nothing does."""
    if silence := at.silenced_by(event, spec.tenant):
        return Muted(by=MatchKind.SILENCE, ref=silence, reason="silenced")
    if found := at.inhibited_by(event):
        return Muted(by=MatchKind.INHIBITION, ref=found.by, reason=found.reason)
    if spec.hours and not any(is_within(one, at.now_ns) for one in spec.hours):
        return Muted(by=MatchKind.HOURS, reason="outside the hours of the subscription")
    told_ns = recently.sensor_told_ns
    if spec.cooldown_s and told_ns is not None and at.now_ns < told_ns + spec.cooldown_s * 1e9:
        return Muted(by=MatchKind.COOLDOWN, reason="the sensor's last incident was told just now")
    if spec.max_per_hour is not None and recently.told_last_hour >= spec.max_per_hour:
        return Muted(by=MatchKind.RATE, reason=f"more than {spec.max_per_hour} in an hour")
    return None
