"""Why a record was refused: one class per stage, so that a dead letter can say where it failed."""

from __future__ import annotations

from typing import ClassVar


class RecordError(ValueError):
    """A record that cannot become readings. The stream goes on without it."""

    stage: ClassVar[str] = "decode"


class MalformedRecordError(RecordError):
    """The bytes are not a document of the declared format at all."""

    stage = "decode"


class InvalidRecordError(RecordError):
    """The document has the wrong shape, type or range."""

    stage = "schema"


class ChannelMismatchError(RecordError):
    """A channel that the model needs is not in the record."""

    stage = "channels"


class OversizedRecordError(RecordError):
    """The record is larger than the stream accepts."""

    stage = "size"


class UnknownContentTypeError(RecordError):
    """No decoder is registered for the record's content type."""

    stage = "content-type"


def excerpt(value: object, limit: int = 60) -> str:
    """`repr` of a foreign value, cut to `limit` characters and safe to print."""
    if isinstance(value, str | bytes) and len(value) > limit:
        value = value[:limit]
    elif isinstance(value, int) and value.bit_length() > 4 * limit:
        return f"an integer of {value.bit_length()} bits"
    elif isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
