"""What the topic of the incidents tells: an incident that somebody judges, and wishes heeded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field, ValidationError

from schemas.wire.deed import Deed
from schemas.wire.fields import Name, Number, WireModel
from schemas.wire.timestamp import TimestampNs
from schemas.wire.verdict import MAX_LATENT, MAX_PROFILE, FalseAlarm, Fault, told

__all__ = ["Judged", "JudgedChannel", "deeds_of", "find_incident"]

_DEED: Final = b'"withdrawn"'


class JudgedChannel(WireModel):
    """A channel's part in an incident."""

    channel: Name
    """Its name."""
    share: Number
    """Its share in the score."""


class Judged(WireModel):
    """What a verdict takes over from an incident; its event holds more."""

    id: UUID
    """The incident."""
    sensor_id: Name
    """Its sensor."""
    first_ns: TimestampNs = Field(alias="first")
    """Event time of its first reading."""
    last_ns: TimestampNs | None = Field(default=None, alias="last")
    """Event time of the last reading flagged so far."""
    end_ns: TimestampNs | None = Field(default=None, alias="end")
    """Event time of its end; None while it is open."""
    charge: Annotated[Number, Field(ge=0.0)]
    """What it was charged to the budget."""
    channels: Annotated[tuple[JudgedChannel, ...], Field(min_length=1)]
    """Those that took part."""
    latent: tuple[Number, ...] | None = None
    """Where it lay in the latent space of the model."""
    calibration: str = ""
    """Version of the model and its calibration."""

    def as_fault(self, **wish: Any) -> Fault:
        """The wish that says it was one; `wish` is what every wish says."""
        return Fault(
            incident=self.id,
            charge=self.charge,
            start_ns=self.first_ns,
            end_ns=self.until_ns,
            **wish,
        )

    def as_false_alarm(self, **wish: Any) -> FalseAlarm:
        """The wish that says it was one."""
        return FalseAlarm(
            incident=self.id,
            charge=self.charge,
            profile=self.profile,
            latent=self.position,
            model=self.calibration,
            **wish,
        )

    @property
    def is_open(self) -> bool:
        """Whether it had no end yet."""
        return self.end_ns is None

    @property
    def until_ns(self) -> int:
        """Event time of its end, or of the last that is known of it."""
        known = (self.end_ns, self.last_ns, self.first_ns)
        return next(one for one in known if one is not None)

    @property
    def profile(self) -> dict[str, float]:
        """Share of each channel, of those that had the largest."""
        ranked = sorted(self.channels, key=lambda one: (-one.share, one.channel))
        return {one.channel: one.share for one in ranked[:MAX_PROFILE]}

    @property
    def position(self) -> tuple[float, ...]:
        """The latent vector as a wish takes it."""
        latent = self.latent or ()
        return latent if len(latent) <= MAX_LATENT else ()


def find_incident(incident: UUID, values: Iterable[bytes | None]) -> Judged | None:
    """What the last event of an incident says; None if there is none.

    Args:
        incident: its id.
        values: of all records of the topic, in the order of its partition.

    Raises:
        ValueError: its event lacks what a verdict needs, and says what.
    """
    id_, found = str(incident), None
    name = id_.encode()
    for value in values:
        if value is not None and name in value:
            data = _data(value)
            if data is not None and data.get("id") == id_ and "sensor_id" in data:
                found = data
    try:
        return None if found is None else Judged.model_validate_json(json.dumps(found))
    except ValidationError as error:
        raise ValueError(
            f"the event of incident {incident} cannot be used: {told(error)}"
        ) from error


def deeds_of(values: Iterable[bytes | None]) -> Iterator[Deed]:
    """The deeds among the records of the topic; what is none, or of a later version, is left out.

    At least once, one may come twice: it is given once.
    """
    seen = set[str]()
    for value in values:
        if value is None or _DEED not in value:
            continue
        data = _data(value)
        if data is None or "withdrawn" not in data:
            continue
        try:
            deed = Deed.model_validate_json(json.dumps(data))
        except ValidationError:
            continue
        if (text := deed.model_dump_json()) not in seen:
            seen.add(text)
            yield deed


def _data(value: bytes) -> dict[str, Any] | None:
    """What an event tells: in the structured mode its `data`, in the binary one all of it."""
    try:
        document = json.loads(value)
    except ValueError:
        return None
    if isinstance(document, dict) and "specversion" in document:
        document = document.get("data")
    return document if isinstance(document, dict) else None
