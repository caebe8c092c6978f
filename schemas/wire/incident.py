"""What flagged readings become: one incident, and the events that tell of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import Field, model_validator

from schemas.wire.anomaly import SHARE_TOLERANCE, GroupKind, ModelRef, Severity
from schemas.wire.fields import (
    Index,
    Labels,
    Name,
    Number,
    Offset,
    Partition,
    WireModel,
)
from schemas.wire.limits import MAX_NAME_CHARS
from schemas.wire.timestamp import TimestampNs

MAX_INCIDENT_CHANNELS: Final = 5
"""Channels that an incident ranks."""
MAX_EXCERPT: Final = 12
"""Points of an excerpt."""
MAX_LATENT: Final = 32
"""Numbers of a latent vector that an incident carries."""

Count = Annotated[int, Field(ge=0, strict=True)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class IncidentKind(StrEnum):
    """What an incident is about."""

    ANOMALY = "anomaly"
    """Readings that the model, or a rule beside it, finds abnormal."""
    DRIFT = "drift"
    """Normal operation has left what the model was calibrated on."""


class Direction(StrEnum):
    """Which way the main channel left what was expected of it."""

    HIGH = "high"
    LOW = "low"
    PATTERN = "pattern"
    """Its value is usual, its course or its company is not."""
    MISSING = "missing"
    """It stays away."""


class SeenBy(StrEnum):
    """What opened an incident."""

    LONG = "long"
    """The view of many readings."""
    SHORT = "short"
    """The view of few."""
    RULE = "rule"
    """A rule beside the model, such as a hard limit."""
    DRIFT = "drift"
    """The drift watch."""


class EndReason(StrEnum):
    """Why an incident ended."""

    RECOVERED = "recovered"
    """The readings are back."""
    NEW_NORMAL = "new_normal"
    """They are not: the level has been accepted, by the rule or by a wish."""
    MAXIMUM_DURATION = "maximum_duration"
    """It was cut; if it goes on, the next incident follows at once."""
    OFF = "off"
    """The sensor is not judged any more."""
    STALE = "stale"
    """The sensor fell silent."""
    FORGOTTEN = "forgotten"
    """The sensor was silent for so long that nothing is known of it any more."""
    MODEL_CHANGED = "model_changed"
    """Another model judges the sensor now."""


class IncidentChannel(WireModel):
    """One channel, at the reading of the incident that was farthest out."""

    channel: Name
    """Its name."""
    unit: Annotated[str, Field(max_length=MAX_NAME_CHARS)] = ""
    """Its unit; empty where unknown."""
    share: Annotated[Number, Field(ge=-SHARE_TOLERANCE, le=1 + SHARE_TOLERANCE)]
    """Its share in the score, 0 to 1."""
    observed: Number | None
    """As it was read; null was missing."""
    expected: Number
    """What the model expected."""
    band: Annotated[Number, Field(ge=0)]
    """Half the width of the normal band around the expected value."""
    direction: Direction
    """Which way it left what was expected of it."""


class Excerpt(WireModel):
    """A few points of the main channel, evenly spread over the incident, for a picture."""

    channel: Name
    """The main channel when the incident opened."""
    ts_ns: Annotated[list[TimestampNs], Field(max_length=MAX_EXCERPT, alias="ts")]
    """Event time of each point."""
    observed: Annotated[list[Number | None], Field(max_length=MAX_EXCERPT)]
    """Value of each, as it was read; null was missing."""
    expected: Annotated[list[Number | None], Field(max_length=MAX_EXCERPT)]
    """What the model expected."""
    score: Annotated[list[Number | None], Field(max_length=MAX_EXCERPT)]
    """Normalised score of each."""

    @model_validator(mode="after")
    def _equally_long(self) -> Self:
        columns = (self.observed, self.expected, self.score)
        if any(len(column) != len(self.ts_ns) for column in columns):
            raise ValueError("all columns of an excerpt have as many entries as ts")
        return self


class SourceRange(WireModel):
    """Where an incident's readings lie in the log."""

    topic: Name
    """Topic of the readings."""
    partition: Partition
    """Partition of the topic."""
    first_offset: Offset
    """Record of the first flagged reading..."""
    first_index: Index = 0
    """...and the reading's number in it."""
    last_offset: Offset
    """Record of the last reading of the incident so far."""


class BudgetUsed(WireModel):
    """How the sensor stands with its alarm budget, this incident included; by event time."""

    budget: Text
    """The budget in words."""
    last_day: Count
    """Incidents of the sensor that opened in the last 24 hours, by quarters of a day..."""
    last_week: Count
    """...and in the last 7 days."""
    allowed_week: Annotated[Number, Field(ge=0)]
    """False incidents of one sensor that the budget allows in a week."""
    certified: bool
    """Whether the model's history is long enough to have shown that rate."""


class Suppressed(WireModel):
    """Why nobody needs to be told."""

    reason: Text
    """In words."""
    wish: UUID
    """The wish that asked for it."""
    incident: UUID
    """The confirmed false alarm that it looks like."""


class Change(WireModel):
    """Where a drift began: at the record or up to 16 epochs behind it."""

    offset: Offset
    """Record at or behind which it began."""
    epochs: Count
    """Epochs of readings since then."""


class Incident(WireModel):
    """An incident as far as it is known."""

    id: UUID
    """uuid5 of topic, partition, offset and index of the first flagged reading."""
    kind: IncidentKind = IncidentKind.ANOMALY
    """What it is about."""
    sensor_id: Name
    """The sensor; also the record's key."""
    labels: Labels = Field(default_factory=dict)
    """Labels of the sensor; as for anomalies, they may have changed when it is sent again."""
    first_ns: TimestampNs = Field(alias="first")
    """Event time of the first flagged reading."""
    opened_ns: TimestampNs = Field(alias="opened")
    """Event time of the reading that opened it."""
    last_ns: TimestampNs = Field(alias="last")
    """Event time of the last flagged reading so far."""
    end_ns: TimestampNs | None = Field(alias="end", default=None)
    """Event time of the reading at which its end was certain; null while it goes on."""
    end_reason: EndReason | None = None
    """Why it ended; null while it goes on."""
    until_ns: TimestampNs = Field(alias="until")
    """Event time of its last reading in alarm so far: the bar may have risen above the scores."""
    duration_s: Annotated[Number, Field(ge=0)]
    """From the first flagged reading to the last in alarm."""
    readings: Count
    """Scored readings from its opening on."""
    flagged: Count
    """Flagged readings from its first on."""
    peak: Number
    """Highest normalised score; 1.0 is the threshold of that time."""
    mean: Number
    """Mean normalised score of its readings."""
    p_value: Annotated[Number, Field(ge=0, le=1)]
    """Share of normal readings expected to open an incident like it."""
    severity: Severity
    """By the p-value against the budget: 10 times rarer is medium, 1,000 times high."""
    direction: Direction
    """Of the main channel."""
    seen_by: SeenBy
    """What opened it."""
    channels: Annotated[list[IncidentChannel], Field(max_length=MAX_INCIDENT_CHANNELS)]
    """The channels with the largest shares, the main one first."""
    excerpt: Excerpt | None = None
    """For a picture; null where there is none."""
    raised_by: list[Text] = Field(default_factory=list)
    """Rules beside the model by which readings of it are an alarm, whatever the model says."""
    held_back_by: list[Text] = Field(default_factory=list)
    """Rules beside the model that held readings of it back."""
    suppressed: Suppressed | None = None
    """Why nobody needs to be told; null of an incident to look at."""
    change: Change | None = None
    """Of a drift: where it began."""
    charge: Annotated[Number, Field(ge=0)] = 0.0
    """Slopes of the tail by which it lifted the sensor's threshold when it ended."""
    latent: Annotated[list[Number], Field(max_length=MAX_LATENT)] = Field(default_factory=list)
    """Latent vector of the reading that was farthest out."""
    model: ModelRef
    """The model that judged."""
    calibration: Name
    """Version of the calibration: part of the model's artifact, so the model's."""
    group: Name
    """Calibration group: the sensor's name, or "pooled"."""
    group_kind: GroupKind
    """Which of the two it is: a sensor may be called so."""
    source: SourceRange
    """Where its readings lie in the log."""
    budget: BudgetUsed | None = None
    """How the sensor stands with its alarm budget."""
