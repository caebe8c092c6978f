"""Incidents as people see and handle them, and silences."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from schemas.api.base import (
    BY_NAME_AND_ALIAS,
    Note,
    PersonName,
    Request,
    Response,
    Text,
    Time,
    example,
)
from schemas.api.matchers import MAX_FILTERS, Matcher

__all__ = [
    "Acknowledge",
    "AcknowledgeMany",
    "Comment",
    "CommentRequest",
    "IncidentState",
    "IncidentView",
    "Resolve",
    "Silence",
    "SilenceSpec",
    "VerdictRequest",
]


class IncidentState(StrEnum):
    """Where an incident stands for those who look after it (IEC 62682)."""

    OPEN = "open"
    """In alarm, nobody acknowledged it."""
    ACKNOWLEDGED = "acknowledged"
    """In alarm, somebody looks after it."""
    RESOLVED = "resolved"
    """Over."""


class IncidentView(Response):
    """An incident, and what people made of it."""

    id: UUID
    """Its id, as in the stream."""
    state: IncidentState
    """Where it stands."""
    sensor_id: str
    """The sensor."""
    severity: str
    """low, medium or high."""
    kind: str
    """anomaly, drift or detector."""
    labels: dict[str, str]
    """Labels of the sensor."""
    opened_at: Time
    """Event time at which it opened."""
    updated_at: Time
    """When the gateway heard of it last."""
    resolved_at: Time | None = None
    """Event time of its end, or when somebody resolved it; null while it goes on."""
    resolved_by: str = ""
    """Who resolved it, if it was somebody."""
    peak: float
    """Highest score; 1.0 is the threshold."""
    acknowledged_by: str = ""
    """Who looks after it; empty if nobody does."""
    acknowledged_at: Time | None = None
    """Since when."""
    acknowledged_until: Time | None = None
    """Until when, if it expires."""
    verdict: str = ""
    """fault or false_alarm, if somebody said so."""
    verdict_by: str = ""
    """Who said so."""
    verdict_heeded: bool = False
    """Whether the stream goes by it."""
    silenced_by: list[UUID] = Field(default_factory=list)
    """Silences that hold for it now."""
    comments: int = 0
    """How many there are."""
    data: dict[str, Any]
    """The incident as the stream told of it last; see the schema incident."""


class Acknowledge(Request):
    """Somebody looks after it."""

    model_config = ConfigDict(
        json_schema_extra=example({"until": "2026-11-30T14:00:00Z", "comment": "looking at it"})
    )

    until: Time | None = None
    """When the acknowledgement expires; null is never."""
    comment: Note = ""
    """What they do about it."""


class AcknowledgeMany(Acknowledge):
    """The same for several."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"matchers": [{"name": "site", "value": "Lyon"}], "comment": "on site"}
        )
    )

    incidents: Annotated[tuple[UUID, ...], Field(max_length=1000)] = ()
    """These..."""
    matchers: Annotated[tuple[Matcher, ...], Field(max_length=MAX_FILTERS)] = ()
    """...or all open ones that match."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.incidents) == bool(self.matchers):
            raise ValueError("give incidents or matchers, one of the two")
        return self


class Resolve(Request):
    """Somebody says that it is over."""

    model_config = ConfigDict(json_schema_extra=example({"comment": "bearing changed"}))

    comment: Note = ""
    """Why."""


class CommentRequest(Request):
    """A note for those who read it later."""

    model_config = ConfigDict(json_schema_extra=example({"text": "The oil was low."}))

    text: Annotated[Note, Field(min_length=1)]
    """The note."""


class Comment(Response):
    """A note on an incident."""

    at: Time
    """When it was written."""
    by: PersonName
    """Who wrote it."""
    text: str
    """What it says."""


class VerdictRequest(Request):
    """What an incident was: goes to the stream."""

    model_config = ConfigDict(
        json_schema_extra=example({"verdict": "false_alarm", "note": "filter change"})
    )

    verdict: Literal["fault", "false_alarm"]
    """A fault teaches the threshold nothing; what looks like a false alarm is held back."""
    note: Annotated[Text, Field(max_length=1000)] = ""
    """Why."""


class SilenceSpec(Request):
    """No notification of incidents that match, for a while. Detection goes on."""

    matchers: Annotated[tuple[Matcher, ...], Field(min_length=1, max_length=MAX_FILTERS)]
    """All have to match, and one of them something else than the empty text."""
    starts_at: Annotated[Time | None, Field(alias="startsAt")] = None
    """Begins; null is now."""
    ends_at: Annotated[Time, Field(alias="endsAt")]
    """Ends."""
    comment: Annotated[Note, Field(min_length=1)]
    """The reason."""

    model_config = BY_NAME_AND_ALIAS | ConfigDict(
        json_schema_extra=example(
            {
                "matchers": [{"name": "sensor_id", "value": "pump-.*", "isRegex": True}],
                "endsAt": "2026-11-30T18:00:00Z",
                "comment": "overhaul of line 3",
            }
        )
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.starts_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("endsAt must be later than startsAt")
        return self


class Silence(Response):
    """A silence as it is kept."""

    id: UUID
    """Its id."""
    matchers: list[Matcher]
    """What it is for."""
    starts_at: Annotated[Time, Field(alias="startsAt")]
    """Begins."""
    ends_at: Annotated[Time, Field(alias="endsAt")]
    """Ends; one that was ended early ends then."""
    created_by: Annotated[str, Field(alias="createdBy")]
    """Who made it."""
    comment: str
    """The reason."""
    status: Literal["pending", "active", "expired"]
    """Where it stands now."""

    model_config = BY_NAME_AND_ALIAS
