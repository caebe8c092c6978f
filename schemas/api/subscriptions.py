"""Subscriptions: who is told of which incidents, where, how and how often."""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, Secret, model_validator

from schemas.api.base import (
    Glob,
    LabelName,
    Note,
    Request,
    Response,
    Seconds,
    ShortText,
    Tenant,
    Text,
    Time,
    example,
)
from schemas.api.matchers import MAX_FILTERS, Filter, Hours, Matcher, MatchKind
from schemas.api.sinks import Sink
from schemas.wire.anomaly import Severity

__all__ = [
    "Attempt",
    "Delivery",
    "DeliveryState",
    "Escalation",
    "EventType",
    "Grouping",
    "IssuedSecret",
    "Preview",
    "PreviewRequest",
    "Recover",
    "Recovered",
    "RotateSecret",
    "Subscription",
    "SubscriptionCreated",
    "SubscriptionSpec",
    "Template",
]

MAX_TEMPLATE_CHARS: Final = 4000
MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 64


def _decodable(secret: str) -> str:
    try:
        length = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError as error:
        raise ValueError("what stands behind whsec_ is not base64") from error
    if not MIN_SECRET_BYTES <= length <= MAX_SECRET_BYTES:
        raise ValueError(f"a secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
    return secret


SigningSecret = Annotated[
    str, Field(pattern=r"^whsec_[A-Za-z0-9+/=]{32,88}$"), AfterValidator(_decodable)
]


class EventType(StrEnum):
    """What may happen."""

    OPENED = "incident.opened"
    UPDATED = "incident.updated"
    RESOLVED = "incident.resolved"
    ACKNOWLEDGED = "incident.acknowledged"
    UNACKNOWLEDGED = "incident.unacknowledged"
    COMMENTED = "incident.commented"
    UNHEALTHY = "detector.unhealthy"
    HEALTHY = "detector.healthy"
    DISABLED = "subscription.disabled"
    DIGEST = "notifications.suppressed"
    TEST = "subscription.test"


class Grouping(Request):
    """Incidents that share labels are one notification, in Alertmanager's words."""

    by: Annotated[tuple[LabelName, ...], Field(max_length=8)]
    """Labels that they share; see `Matcher` for their names. None at all is one group."""
    wait_s: Seconds = 30.0
    """How long the first incident of a group waits for others (group_wait)."""
    interval_s: Seconds = 300.0
    """Shortest time between two notifications of a group with news (group_interval)."""
    repeat_s: Seconds = 14_400.0
    """A group that goes on without news is told of again after this (repeat_interval); 0 never."""


class Escalation(Request):
    """Whom to tell when nobody acknowledged in time."""

    to: UUID
    """The subscription that is told then."""
    after_s: Annotated[float, Field(ge=1, le=30 * 86_400)] = 900.0
    """How long an incident may be open without an acknowledgement."""


class Template(Request):
    """Jinja templates of what people read; `vigie subscriptions preview` shows what comes out."""

    title: Annotated[Text, Field(max_length=MAX_TEMPLATE_CHARS)] = ""
    """One line; empty is ours."""
    text: Annotated[Text, Field(max_length=MAX_TEMPLATE_CHARS)] = ""
    """The text below it; empty is ours."""


class SubscriptionSpec(Request):
    """What a subscription is."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "name": "On-call, pumps of Lyon",
                "sink": {"kind": "webhook", "url": "https://alerts.example.com/vigie"},
                "matchers": [{"name": "site", "value": "Lyon"}],
                "min_severity": "medium",
            },
            {
                "name": "Shift leader",
                "sink": {"kind": "email", "to": ["shift@example.com"]},
                "group": {"by": ["site"], "wait_s": 30, "interval_s": 300, "repeat_s": 14400},
                "hours": [{"days": ["mon", "tue"], "start": "06:00", "end": "14:00"}],
            },
        )
    )

    name: ShortText
    """For people."""
    types: Annotated[tuple[EventType, ...], Field(min_length=1, max_length=16)] = (
        EventType.OPENED,
        EventType.RESOLVED,
    )
    """What it wants to be told of."""
    sink: Sink
    """Where it is told."""
    filters: Annotated[tuple[Filter, ...], Field(max_length=MAX_FILTERS)] = ()
    """CloudEvents filters; all have to pass."""
    matchers: Annotated[tuple[Matcher, ...], Field(max_length=MAX_FILTERS)] = ()
    """Labels; all have to match."""
    sensors: Annotated[tuple[Glob, ...], Field(max_length=1000)] = ()
    """Sensors, or patterns of them; empty is all."""
    channels: Annotated[tuple[Glob, ...], Field(max_length=100)] = ()
    """One of the incident's channels is one of these, or matches; empty is all."""
    min_severity: Severity | None = None
    """Least severity."""
    min_score: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Least peak score; 1.0 is the threshold."""
    hours: Annotated[tuple[Hours, ...], Field(max_length=16)] = ()
    """When it wants to be told; what opens outside waits for the hours, if it goes on till then."""
    suppressed: bool = False
    """Whether it wants incidents that look like a confirmed false alarm, too."""
    group: Grouping | None = None
    """Incidents as one notification; null tells each by itself."""
    cooldown_s: Seconds = 0.0
    """After an incident of a sensor was told, its next ones within this are not."""
    max_per_hour: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Most openings told in an hour; what is more comes as one digest."""
    escalate: Escalation | None = None
    """Whom to tell when nobody acknowledges."""
    escalations_only: bool = False
    """Whether it is told only of what is escalated to it, and of what follows."""
    template: Template = Template()
    """How it reads, for sinks that people read."""
    max_age_s: Annotated[float, Field(ge=1, le=30 * 86_400)] = 259_200.0
    """What could not be delivered for so long is a dead letter: news so old are noise."""
    enabled: bool = True
    """Whether it is told anything."""
    tenant: Tenant = ""
    """Whose it is; a token of a tenant sees its own only."""
    description: Note = ""
    """For people."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.group is not None and self.cooldown_s:
            raise ValueError("a group has interval_s, not cooldown_s: give one of the two")
        if self.group is not None and self.sink.kind == "alertmanager":
            raise ValueError("an Alertmanager groups by itself: leave out group")
        if EventType.COMMENTED in self.types and self.sink.kind in {"alertmanager", "pagerduty"}:
            raise ValueError(f"{self.sink.kind} knows no comments: leave out incident.commented")
        if self.escalate is not None and EventType.OPENED not in self.types:
            raise ValueError(f"escalate needs {EventType.OPENED} among types: nothing else can be")
        return self


class Subscription(Response):
    """A subscription as it is kept; secrets are not shown."""

    id: UUID
    """Its id."""
    version: int
    """Counts its changes; also the ETag."""
    spec: dict[str, Any]
    """What it is, with asterisks for secrets; see SubscriptionSpec."""
    created_at: Time
    """When it was made."""
    updated_at: Time
    """When it was changed last."""
    created_by: str
    """Who made it."""
    disabled_reason: str = ""
    """Why it was disabled by itself; empty if it was not."""
    failing_since: Time | None = None
    """Since when every delivery fails; null if the last one arrived."""


class IssuedSecret(Response):
    """A signing secret, shown once."""

    secret: str
    """whsec_...: for a Standard Webhooks library."""
    old_until: Time | None = None
    """Until when the one before signs as well; null if there was none."""


class SubscriptionCreated(Subscription):
    """A subscription that was just made, with what is shown once."""

    secret: str | None = None
    """whsec_...: signs its webhooks; for a Standard Webhooks library. Null for other sinks."""


class RotateSecret(Request):
    """Another signing secret."""

    model_config = ConfigDict(json_schema_extra=example({"overlap_s": 86400}))

    overlap_s: Annotated[float, Field(ge=0, le=30 * 86_400)] = 86_400.0
    """How long the one before signs as well: a receiver takes either."""
    secret: Secret[SigningSecret] | None = None
    """One of your own, 24 to 64 bytes in base64 behind whsec_; null makes one."""


class Recover(Request):
    """Telling again, or late, what was not delivered."""

    model_config = ConfigDict(json_schema_extra=example({"since": "2026-11-30T06:00:00Z"}))

    since: Time
    """What happened since then; as far back as events are kept (gateway.event_age_s)."""


class Recovered(Response):
    """What is delivered now."""

    resent: int
    """Deliveries that had been given up."""
    added: int
    """Events that had not been told."""


class PreviewRequest(Request):
    """A template to try."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"template": {"title": "{{ sensor }}: {{ channel }} {{ observed }}"}}
        )
    )

    template: Template = Template()
    """It."""
    incident: UUID | None = None
    """Of which incident; null takes an example."""


class Preview(Response):
    """What people would read."""

    title: str
    """One line."""
    text: str
    """The text below it."""


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    """For its time: a retry, hours, a silence."""
    MUTED = "muted"
    """Held back; told later if the reason goes away while the incident goes on."""
    GROUPED = "grouped"
    """It is told in the notifications of its group."""
    DELIVERED = "delivered"
    """The receiver took it."""
    DEAD = "dead"
    """Given up; `:resend` sends it again."""
    DROPPED = "dropped"
    """Not needed any more: its incident was over before the reason to hold it back was."""


class Delivery(Response):
    """One notification to one subscription."""

    id: int
    """Its number."""
    subscription: UUID
    """The subscription."""
    event_id: str
    """Of the event; also the webhook-id, the same in every attempt."""
    type: str
    """What happened."""
    incident: UUID | None = None
    """The incident, if it is about one."""
    state: DeliveryState
    """Where it stands."""
    muted_by: MatchKind | None = None
    """What holds it back."""
    reason: str = ""
    """In words: what holds it back, or why the last attempt failed."""
    attempts: int
    """How often it was tried."""
    due_at: Time | None = None
    """When it is tried next."""
    created_at: Time
    """When it came about."""
    delivered_at: Time | None = None
    """When the receiver took it."""


class Attempt(Response):
    """One attempt of a delivery."""

    at: Time
    """When it began."""
    took_ms: float
    """How long it took."""
    status: int | None
    """Of HTTP; null if there was no answer."""
    error: str = ""
    """What went wrong; empty if nothing did."""
    response: str = ""
    """Beginning of the answer."""
