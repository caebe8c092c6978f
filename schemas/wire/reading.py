"""What comes in: one reading, or a frame of many readings of one sensor in columns.

These models are the sender's view, the documentation and the source of the JSON Schema. The stream
reads with `schemas.codec.Decoder`, which goes to columns directly; it looks only at the model's
channels and ignores what else a record holds.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.wire.fields import ChannelValues, Name, Number, WireModel
from schemas.wire.limits import MAX_CHANNELS, MAX_FRAME_READINGS
from schemas.wire.timestamp import TimestampNs


class Reading(WireModel):
    """One timestamped value per channel of a sensor."""

    sensor_id: Name
    """The sensor (or machine) that the values belong to; also the record's key."""
    ts_ns: TimestampNs = Field(alias="ts")
    """Event time: epoch milliseconds or RFC 3339 with an offset."""
    values: ChannelValues
    """Value per channel in the channel's own unit; null means missing."""


class Frame(WireModel):
    """Many readings of one sensor in columns, in arrival order.

    As Arrow IPC stream the same shape: `ts` timestamp[ns, UTC], `values` a struct of float64,
    `sensor_id` in the schema's metadata, not compressed.
    """

    sensor_id: Name
    """The sensor (or machine) that the values belong to; also the record's key."""
    ts_ns: Annotated[
        list[TimestampNs], Field(min_length=1, max_length=MAX_FRAME_READINGS, alias="ts")
    ]
    """Event time of each reading."""
    values: Annotated[dict[Name, list[Number | None]], Field(min_length=1, max_length=MAX_CHANNELS)]
    """Column per channel, each as long as `ts`; null means missing."""

    @model_validator(mode="after")
    def _equally_long(self) -> Self:
        for channel, column in self.values.items():
            if len(column) != len(self.ts_ns):
                raise ValueError(
                    f"values.{channel} has {len(column)} values, but ts has {len(self.ts_ns)}"
                )
        return self
