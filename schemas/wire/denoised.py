"""The cleaned signal: one frame per sensor and micro-batch."""

from __future__ import annotations

from collections.abc import Sized
from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.wire.fields import Index, Name, Number, Offset, Partition, WireModel
from schemas.wire.limits import MAX_CHANNELS, MAX_DENOISED_READINGS
from schemas.wire.timestamp import TimestampNs

Column = Annotated[list[Number | None], Field(max_length=MAX_DENOISED_READINGS)]


class Settled(WireModel):
    """The cleaned signal once more, a little later: with some readings of look-ahead."""

    lag: Annotated[int, Field(ge=1, le=MAX_DENOISED_READINGS, strict=True)]
    """Readings of look-ahead L."""
    values: Annotated[dict[Name, Column], Field(min_length=1, max_length=MAX_CHANNELS)]
    """A column per channel: its entry i is the settled value of the sensor's reading L before
    reading i of the frame, in the channel's own unit; null where there is none."""


class DenoisedFrame(WireModel):
    """Cleaned channels and scores of consecutive readings of one sensor."""

    sensor_id: Name
    """The sensor; also the record's key."""
    ts_ns: Annotated[
        list[TimestampNs], Field(min_length=1, max_length=MAX_DENOISED_READINGS, alias="ts")
    ]
    """Event time of each reading."""
    values: Annotated[dict[Name, Column], Field(min_length=1, max_length=MAX_CHANNELS)]
    """Cleaned value of each reading, a column per channel, in the channel's own unit."""
    score: Column
    """Normalised score of each reading; 1.0 is the threshold."""
    offset: list[Offset]
    """Offset of the record that each reading came in."""
    index: list[Index] = Field(default_factory=list)
    """Index of each reading in its record; left out when all are 0."""
    off: list[bool] = Field(default_factory=list)
    """Whether each reading was not judged; left out when all were."""
    latent: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    """Where the window that ends with the last reading lies on the model's map of its latent space:
    two numbers, in standard deviations of the calibration block, 0 is its middle; left out by a
    model without a map."""
    settled: Settled | None = None
    """Settled values, if `stream.denoised` asks for them."""
    model: Annotated[str, Field(min_length=1, max_length=512)]
    """Model as name@version."""
    topic: Name
    """Topic of the readings."""
    partition: Partition
    """Partition of the topic."""

    @model_validator(mode="after")
    def _equally_long(self) -> Self:
        n = len(self.ts_ns)
        columns: dict[str, Sized] = {"score": self.score, "offset": self.offset, **self.values}
        columns |= {"index": self.index} if self.index else {}
        columns |= {"off": self.off} if self.off else {}
        if self.settled is not None:
            columns |= {f"settled {name}": one for name, one in self.settled.values.items()}
        for name, column in columns.items():
            if len(column) != n:
                raise ValueError(f"{name} has {len(column)} entries, but ts has {n}")
        return self
