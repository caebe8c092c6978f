"""One notification, as a sink sends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.api.subscriptions import Template

__all__ = ["Group", "Message"]


@dataclass(frozen=True, kw_only=True)
class Group:
    """What the incidents of a grouped notification have in common."""

    key: str
    """The same as long as the group lives: of the subscription and the labels."""
    labels: Mapping[str, str]
    """The labels that they share."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One notification: the same in every attempt."""

    id: str
    """The webhook-id: who receives it twice knows it by this."""
    type: str
    """A value of `EventType`."""
    at_ns: int
    """When the notification came about, not when it is tried."""
    events: tuple[Mapping[str, Any], ...]
    """CloudEvents: one, or those of a group, the oldest first."""
    group: Group | None = None
    """What they share, of a grouped notification; what goes on and what is over stands in
    the events' types."""
    url: str = ""
    """Address of the page for it; empty where it is not known."""
    template: Template = field(default_factory=Template)
    """How it reads."""
    suppressed: int = 0
    """How many notifications a digest stands for."""
    subscription: str = ""
    """Id of the subscription: with `id` it names the notification where receivers share a box."""
    name: str = ""
    """Name of the subscription, for people; the receiver's name of Alertmanager's webhook."""
    note: str = ""
    """Why it is told now if not for the event itself: an escalation, a reminder. For people."""
