"""What people and programs wish for sensors: the value of a record in the topic of the verdicts.

The record's key is the sensor, or a pattern of sensors such as ``pump-*``. A wish stands as long as
it is in the document of its key: one that is withdrawn is left out, and so "new normal" is reverted
and "off" ends. A null value withdraws all.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field, ValidationError, model_validator

from schemas.wire.errors import InvalidRecordError, excerpt
from schemas.wire.fields import Name, Number, WireModel
from schemas.wire.limits import MAX_NAME_CHARS
from schemas.wire.timestamp import TimestampNs

__all__ = [
    "MAX_LATENT",
    "MAX_NOTE_CHARS",
    "MAX_PROFILE",
    "MAX_WISHES",
    "FalseAlarm",
    "Fault",
    "Forget",
    "NewNormal",
    "Off",
    "SensorWishes",
    "Wish",
    "decode_wishes",
    "encode_wishes",
    "is_pattern",
    "told",
]

MAX_WISHES: Final = 16
"""Most standing wishes of a key."""
MAX_NOTE_CHARS: Final = 1000
"""Longest note."""
MAX_PROFILE: Final = 32
"""Most channels of the profile of a false alarm."""
MAX_LATENT: Final = 256
"""Longest latent vector of a false alarm."""

Charge = Annotated[Number, Field(ge=0.0)]


class _Wish(WireModel):
    """What every wish says."""

    id: UUID
    """Names the wish: in its deed, and to withdraw it."""
    by: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, strict=True)]
    """Who wishes."""
    at_ns: TimestampNs = Field(alias="at")
    """When it was wished, by the clock of who did; for information alone."""
    note: Annotated[str, Field(max_length=MAX_NOTE_CHARS, strict=True)] = ""
    """Why, in words."""
    after_ns: TimestampNs | None = Field(default=None, alias="after")
    """It holds from the sensor's first reading later than this; absent: from its next one on."""


class _Period(_Wish):
    """A wish about a stretch of event time, both ends included."""

    start_ns: TimestampNs = Field(alias="start")
    """Event time of its first reading."""
    end_ns: TimestampNs = Field(alias="end")
    """Event time of its last reading."""

    @model_validator(mode="after")
    def _check_order(self) -> _Period:
        if self.end_ns < self.start_ns:
            raise ValueError("the end comes before the start")
        return self


class Fault(_Period):
    """An incident was a fault: it teaches the threshold nothing and is charged to no budget."""

    kind: Literal["fault"] = "fault"
    """Which wish it is."""
    incident: UUID
    """The incident; start and end are its own."""
    charge: Charge
    """What it was charged to the budget."""


class FalseAlarm(_Wish):
    """An incident was a false alarm: what looks like it is held back from now on."""

    kind: Literal["false_alarm"] = "false_alarm"
    """Which wish it is."""
    incident: UUID
    """The incident."""
    charge: Charge
    """What it was charged to the budget."""
    profile: Annotated[dict[Name, Number], Field(min_length=1, max_length=MAX_PROFILE)]
    """Share of each channel in it, of those that had the largest."""
    latent: Annotated[tuple[Number, ...], Field(max_length=MAX_LATENT)] = ()
    """Where it lay in the latent space of the model; empty if that is unknown."""
    model: Annotated[str, Field(max_length=512)] = ""
    """Version of that model: another one's latent space is another; empty if it is unknown."""


class NewNormal(_Wish):
    """What the sensor does now is normal: its threshold begins anew."""

    kind: Literal["new_normal"] = "new_normal"
    """Which wish it is."""


class Forget(_Period):
    """What was read in a period counts neither for thresholds nor for training."""

    kind: Literal["forget"] = "forget"
    """Which wish it is."""


class Off(_Wish):
    """The sensor is not judged."""

    kind: Literal["off"] = "off"
    """Which wish it is."""
    until_ns: TimestampNs | None = Field(default=None, alias="until")
    """It holds up to the sensor's last reading not later than this; absent: until withdrawn."""


Wish = Annotated[Fault | FalseAlarm | NewNormal | Forget | Off, Field(discriminator="kind")]
"""One wish, by its kind."""


class SensorWishes(WireModel):
    """The standing wishes of one sensor, or of all that a pattern names."""

    version: Annotated[Literal[1], Field(alias="v")]
    """Version of this document; a reader that does not know it changes nothing."""
    key: Name
    """The sensor, or a pattern of sensors (`*`, `?`, `[...]`); also the record's key.

    A pattern turns sensors off. Other wishes are of the sensor that has exactly this name.
    """
    wishes: Annotated[tuple[Wish, ...], Field(max_length=MAX_WISHES)]
    """The oldest first."""

    @model_validator(mode="after")
    def _check_ids(self) -> SensorWishes:
        if len({wish.id for wish in self.wishes}) < len(self.wishes):
            raise ValueError("two wishes have one id")
        return self


def is_pattern(key: str) -> bool:
    """Whether a key may name other sensors than the one that it spells."""
    return any(letter in key for letter in "*?[")


def encode_wishes(document: SensorWishes) -> bytes:
    """The document as it is written."""
    return document.model_dump_json(exclude_none=True).encode()


def decode_wishes(key: bytes, value: bytes) -> SensorWishes:
    """The document of a record.

    Raises:
        InvalidRecordError: it is none, of another version, or of another key.
    """
    try:
        document = SensorWishes.model_validate_json(value)
    except ValidationError as error:
        raise InvalidRecordError(f"the wishes of {excerpt(key, 200)}: {told(error)}") from error
    if document.key.encode() != key:
        raise InvalidRecordError(
            f"the wishes of {excerpt(key, 200)} are of another sensor, {excerpt(document.key, 200)}"
        )
    return document


def told(error: ValidationError) -> str:
    """The first thing that is wrong with a document, in one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where + ': ' if where else ''}{first['msg']}, got {excerpt(first['input'])}"
