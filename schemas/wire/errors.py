"""Why a record was rejected, and at which stage."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar


class Stage(StrEnum):
    """Where a record failed on its way to a score."""

    DECODE = "decode"
    """Its bytes are no document of its format."""
    SCHEMA = "schema"
    """The document has the wrong shape, type or range."""
    CHANNELS = "channels"
    """A channel that the model needs is missing."""
    SIZE = "size"
    """It is larger than `stream.max_record_bytes`."""
    CONTENT_TYPE = "content-type"
    """Nothing reads its content type."""
    CLOCK = "clock"
    """An event time is too far from its timestamp: `stream.max_ahead_s`, `stream.max_behind_s`."""
    SCORING = "scoring"
    """No scorer survives it."""


class RecordError(ValueError):
    """A record that cannot become readings. The stream goes on without it."""

    stage: ClassVar[Stage] = Stage.DECODE


class MalformedRecordError(RecordError):
    """The bytes are not a document of the declared format at all."""


class InvalidRecordError(RecordError):
    """The document has the wrong shape, type or range."""

    stage = Stage.SCHEMA


class SchemaError(RecordError):
    """The schema that the record names is unknown, or cannot be used."""

    stage = Stage.SCHEMA


class ChannelMismatchError(RecordError):
    """A channel that the model needs is not in the record."""

    stage = Stage.CHANNELS


class OversizedRecordError(RecordError):
    """The record is larger than the stream accepts."""

    stage = Stage.SIZE


class UnknownContentTypeError(RecordError):
    """No decoder is registered for the record's content type."""

    stage = Stage.CONTENT_TYPE


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


def unknown_content_type(found: str, known: Iterable[str]) -> UnknownContentTypeError:
    """The error that says which content types there are."""
    return UnknownContentTypeError(
        f"unknown content type {excerpt(found, 100)}; known: {', '.join(known)}"
    )
