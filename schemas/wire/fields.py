"""Field types and limits that the wire models share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.wire.limits import (
    MAX_CHANNELS,
    MAX_LABEL_CHARS,
    MAX_LABEL_NAME_CHARS,
    MAX_LABELS,
    MAX_NAME_CHARS,
)

MAX_PARTITION = 2**31 - 1
MAX_OFFSET = 2**63 - 1

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, strict=True)]
"""Identifier of a sensor, channel, topic or model."""

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number; NaN and the infinities are no JSON."""

Partition = Annotated[int, Field(ge=0, le=MAX_PARTITION, strict=True)]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET, strict=True)]
Index = Annotated[int, Field(ge=0, le=MAX_PARTITION, strict=True)]

ChannelValues = Annotated[dict[Name, Number | None], Field(min_length=1, max_length=MAX_CHANNELS)]
"""One value per channel; null is missing."""

Labels = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=MAX_LABEL_NAME_CHARS, strict=True)],
        Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS, strict=True)],
    ],
    Field(max_length=MAX_LABELS),
]
"""What people know of a sensor, such as its site and its line: label by name."""


class WireModel(BaseModel):
    """Base of what crosses the wire: immutable, and an older reader survives a newer writer."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )
