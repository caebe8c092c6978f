"""What comes out when a reading is flagged: an alarm that explains itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID, uuid5

from pydantic import Field

from schemas.wire.fields import (
    ChannelValues,
    Index,
    Labels,
    Name,
    Number,
    Offset,
    Partition,
    WireModel,
)
from schemas.wire.limits import MAX_CHANNELS
from schemas.wire.timestamp import TimestampNs

NAMESPACE = UUID("6f0cb1a4-7d3e-5b52-9a0f-2f5d0f6f7a11")
"""Namespace of Vigie's anomaly ids. Never changed: ids must be the same after every restart."""

SHARE_TOLERANCE = 1e-3
"""How far a float32 share may stick out of 0..1."""


class Severity(StrEnum):
    """How far beyond the threshold a score lies; scores are normalised, 1.0 is the threshold."""

    LOW = "low"
    """1 <= score < 2."""
    MEDIUM = "medium"
    """2 <= score < 4."""
    HIGH = "high"
    """score >= 4."""

    @classmethod
    def of(cls, score: float) -> Severity:
        """Severity of a flagged score.

        Raises:
            ValueError: the score is below 1.0, the threshold, or NaN.
        """
        if score >= 4.0:  # noqa: PLR2004 - the scale is documented on the members
            return cls.HIGH
        if score >= 2.0:  # noqa: PLR2004
            return cls.MEDIUM
        if score >= 1.0:
            return cls.LOW
        raise ValueError(f"only a score of 1.0 or more has a severity, got {score}")


class GroupKind(StrEnum):
    """Whose threshold applied."""

    SENSOR = "sensor"
    """The sensor's own."""
    POOLED = "pooled"
    """That of all sensors of the training together: this one has none of its own."""


POOLED = "pooled"
"""Name of the pooled group. A sensor may be called so, too: `group_kind` tells them apart."""


def anomaly_id(topic: str, partition: int, offset: int, index: int) -> UUID:
    """Id of the anomaly at one reading: the same in every run, different for every reading.

    Args:
        topic: the readings topic.
        partition: its partition.
        offset: offset of the record.
        index: index of the reading in its record, 0 for a plain reading.
    """
    # No topic name holds a "/", so no two sources give the same text.
    return uuid5(NAMESPACE, f"{topic}/{partition}/{offset}/{index}")


class ModelRef(WireModel):
    """The model that judged."""

    name: Name
    """Name of the model."""
    version: Name
    """Version of the model."""


class Source(WireModel):
    """The reading that was judged, to the record and the row in it."""

    topic: Name
    """Topic of the readings."""
    partition: Partition
    """Partition of the topic."""
    offset: Offset
    """Offset of the record."""
    index: Index = 0
    """Index of the reading in its record; 0 for a plain reading."""


class Anomaly(WireModel):
    """One flagged reading."""

    id: UUID
    """uuid5 of topic, partition, offset and index: the same after every restart."""
    sensor_id: Name
    """The sensor; also the record's key."""
    labels: Labels = Field(default_factory=dict)
    """Labels of the sensor as `sensors.path` gave them at that time; empty where it has none.

    They may have changed when an anomaly is sent again, with the same id, after a crash.
    """
    ts_ns: TimestampNs = Field(alias="ts")
    """Event time of the reading: epoch milliseconds or RFC 3339."""
    score: Annotated[Number, Field(ge=1.0)]
    """Normalised score; 1.0 is the threshold of this sensor and model version at this reading."""
    threshold: Number
    """The threshold in the model's raw score, as it was for this sensor at this reading."""
    raw_score: Number
    """The model's own score, comparable within one model version only."""
    p_value: Annotated[Number, Field(ge=0.0, le=1.0)]
    """Share of normal readings that score as high or higher."""
    partial: bool = False
    """Whether fewer readings came before it than the model looks at (a new sensor, or a gap).

    What only a longer stretch of readings tells is not in such a score.
    """
    severity: Severity
    """low: score 1 to 2; medium: 2 to 4; high: 4 and more."""
    observed: ChannelValues
    """Value per channel as it was read; null was missing."""
    expected: Annotated[dict[Name, Number], Field(min_length=1, max_length=MAX_CHANNELS)]
    """Value per channel that the model expected, in the channel's own unit."""
    contribution: Annotated[
        dict[Name, Annotated[Number, Field(ge=-SHARE_TOLERANCE, le=1.0 + SHARE_TOLERANCE)]],
        Field(min_length=1, max_length=MAX_CHANNELS),
    ]
    """Share of each channel in the score; they sum to 1."""
    model: ModelRef
    """The model that judged."""
    group: Name
    """Calibration group whose threshold applied: the sensor's name, or "pooled"."""
    group_kind: GroupKind
    """Which of the two it is: a sensor may be called "pooled"."""
    source: Source
    """Where the reading lies in the log."""
    incident: UUID | None = None
    """Id of the incident that it belongs to, if enough readings around it are flagged to open one:
    the flagged readings before the opening have it as well. Null if the model opens none."""
