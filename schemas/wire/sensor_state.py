"""What is recorded of a sensor: the value of a record in the compacted topic of the sensor states.

The record's key is the sensor, its partition the number of the partition that the sensor's readings
lie in. A null value removes the sensor. One document is written per sensor and checkpoint, so it is
encoded by a template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from pydantic_core import to_json

from schemas.wire.fields import MAX_OFFSET, Offset, WireModel

__all__ = ["SensorState", "encode_sensor_state"]

Count = Annotated[int, Field(ge=0, le=MAX_OFFSET, strict=True)]

_TEMPLATE: Final = (
    b'{"v":2,"next_offset":%d,"since":%d,"scored":%d,"flagged":%d,"dropped":%d,'
    b'"state_version":%d,"state":"%b","incident":%b,"more":%b}'
)


class SensorState(WireModel):
    """Where the readings of one sensor went since its first one."""

    version: Annotated[Literal[2], Field(alias="v")]
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
    state_version: Count
    """Version of what follows; another one's is not gone on with."""
    state: Annotated[str, Field(max_length=4096)] = ""
    """State of the sensor's alarms, packed, base64."""
    incident: list[Any] | None = None
    """The incident that is open; its fields in an order of their own."""
    more: dict[str, Any] | None = None
    """Wishes that are heeded, and conditions that put the sensor off."""


def encode_sensor_state(
    next_offset: int,
    since: int,
    scored: int,
    flagged: int,
    dropped: int,
    *,
    state_version: int = 0,
    state: bytes = b"",
    incident: Sequence[Any] | None = None,
    more: Mapping[str, Any] | None = None,
) -> bytes:
    """The document as it is written; `state` is in base64 already."""
    rest = (b"null" if one is None else to_json(one) for one in (incident, more))
    columns = (next_offset, since, scored, flagged, dropped, state_version, state)
    return _TEMPLATE % (*columns, *rest)
