"""What is recorded of a sensor: the value of a record in the compacted topic of the sensor states.

The record's key is the sensor, its partition the number of the partition that the sensor's readings
lie in. A null value removes the sensor. One document is written per sensor and checkpoint, so it is
encoded by a template.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.wire.fields import MAX_OFFSET, Offset, WireModel

__all__ = ["SensorState", "encode_sensor_state"]

Count = Annotated[int, Field(ge=0, le=MAX_OFFSET, strict=True)]

_TEMPLATE: Final = b'{"v":1,"next_offset":%d,"since":%d,"scored":%d,"flagged":%d,"dropped":%d}'


class SensorState(WireModel):
    """Where the readings of one sensor went since its first one."""

    version: Annotated[Literal[1], Field(alias="v")]
    """Version of this document; a reader that does not know it begins the sensor anew."""
    next_offset: Annotated[int, Field(ge=1, le=MAX_OFFSET, strict=True)]
    """Offset behind the last record counted."""
    since: Offset
    """Offset of the first record counted."""
    scored: Count
    """Readings that were scored."""
    flagged: Count
    """Those of them that were anomalies."""
    dropped: Count
    """Readings that came late or twice."""


def encode_sensor_state(
    next_offset: int, since: int, scored: int, flagged: int, dropped: int
) -> bytes:
    """The document as it is written."""
    return _TEMPLATE % (next_offset, since, scored, flagged, dropped)
