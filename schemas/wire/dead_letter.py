"""What becomes of a record that could not be read: the raw bytes, and headers that say why.

Header names are those of Kafka Connect's dead letter queue, so that its tools read them. Values are
UTF-8 text. The record's own headers, key and value stay untouched.

A dead letter that is sent back carries its story in `vigie.redrive.*` headers, not the reasons.
If it fails again it becomes a dead letter with both: attempts = replays + 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field

from schemas.columns import Failure
from schemas.wire.errors import InvalidRecordError
from schemas.wire.fields import MAX_OFFSET, Name, Offset, Partition, WireModel
from schemas.wire.limits import MAX_MESSAGE_CHARS
from schemas.wire.timestamp import format_ns

Headers = Sequence[tuple[str, bytes]]
"""Headers of a record in their order; a name may come more than once."""

TRUNCATED = "vigie.errors.truncated"
"""Header of a dead letter too large to be sent whole: the number of bytes it had."""

_MAX_STAGE_CHARS = 64
_MAX_DIGITS = len(str(MAX_OFFSET))


class DeadLetter(WireModel):
    """Where a dead letter came from and what was wrong with it: its headers, read back."""

    topic: Annotated[Name, Field(alias="__connect.errors.topic")]
    """Topic of the record."""
    partition: Annotated[Partition, Field(alias="__connect.errors.partition")]
    """Partition of the record."""
    offset: Annotated[Offset, Field(alias="__connect.errors.offset")]
    """Offset of the record."""
    stage: Annotated[
        str, Field(alias="__connect.errors.stage", min_length=1, max_length=_MAX_STAGE_CHARS)
    ]
    """Where it failed: decode, schema, channels, size, content-type, clock or scoring.

    A text, not `Stage`: a reader takes the stages of a newer Vigie, too.
    """
    exception: Annotated[
        str, Field(alias="__connect.errors.exception.class.name", min_length=1, max_length=512)
    ]
    """Class name of the error."""
    message: Annotated[
        str, Field(alias="__connect.errors.exception.message", max_length=MAX_MESSAGE_CHARS)
    ]
    """What was wrong."""
    app_version: Annotated[
        str, Field(alias="vigie.errors.app.version", min_length=1, max_length=64)
    ]
    """Version of Vigie that gave the record up."""


class Redrive(WireModel):
    """How a record came back from the dead letters: the headers of a redrive."""

    attempt: Annotated[int, Field(alias="vigie.redrive.attempt", ge=1, le=MAX_OFFSET)]
    """How often the record has been sent back, this time included."""
    at: Annotated[str, Field(alias="vigie.redrive.at", min_length=1, max_length=64)]
    """When, RFC 3339."""
    dead_letter_topic: Annotated[Name, Field(alias="vigie.redrive.dead-letter.topic")]
    """Topic of the dead letter that was sent back."""
    dead_letter_partition: Annotated[Partition, Field(alias="vigie.redrive.dead-letter.partition")]
    """Its partition."""
    dead_letter_offset: Annotated[Offset, Field(alias="vigie.redrive.dead-letter.offset")]
    """Its offset."""
    source_topic: Annotated[Name, Field(alias="vigie.redrive.source.topic")]
    """Topic in which the record first lay, before any redrive."""
    source_partition: Annotated[Partition, Field(alias="vigie.redrive.source.partition")]
    """Its partition there."""
    source_offset: Annotated[Offset, Field(alias="vigie.redrive.source.offset")]
    """Its offset there."""
    reason: Annotated[
        str, Field(alias="vigie.redrive.reason", max_length=MAX_MESSAGE_CHARS + _MAX_STAGE_CHARS)
    ]
    """Stage and message of the failure before this redrive."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """As topic:partition:offset; no topic holds a colon."""
        return f"{self.topic}:{self.partition}:{self.offset}"


_NAMES = {name: str(field.alias) for name, field in DeadLetter.model_fields.items()}
_OURS = frozenset({*_NAMES.values(), TRUNCATED})
_REDRIVE_NAMES = {name: str(field.alias) for name, field in Redrive.model_fields.items()}
_REPLAYS = frozenset(_REDRIVE_NAMES.values())
_MODEL = TypeVar("_MODEL", DeadLetter, Redrive)


def dead_letter_headers(
    failure: Failure,
    *,
    topic: str,
    partition: int,
    offset: int,
    app_version: str,
    original: Headers = (),
) -> list[tuple[str, bytes]]:
    """Headers of the dead letter: the record's own in their order, then the reasons.

    Reasons that the record already carries, from an earlier passage through dead letters, are
    replaced: the headers do not grow with each attempt. The failure's position in the batch is of
    no interest here.
    """
    reasons: dict[str, str | int] = {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "stage": failure.stage,
        "exception": failure.exception,
        "message": failure.message[:MAX_MESSAGE_CHARS],
        "app_version": app_version,
    }
    return [header for header in original if header[0] not in _OURS] + _written(reasons, _NAMES)


def read_dead_letter(headers: Headers) -> DeadLetter:
    """The reasons of a dead letter.

    Raises:
        InvalidRecordError: headers are missing or make no sense; not a dead letter of Vigie's.
    """
    return _read(DeadLetter, _NAMES, headers, what="a dead letter")


def truncated_bytes(headers: Headers) -> int | None:
    """How many bytes the record had, if its dead letter holds only the first of them."""
    for name, value in headers:
        if name == TRUNCATED:
            return int(value) if value.isdigit() and len(value) <= _MAX_DIGITS else len(value)
    return None


def redrive_headers(
    headers: Headers, letter: DeadLetter, *, place: Place, at_ns: int
) -> list[tuple[str, bytes]]:
    """Headers of a dead letter that goes back to its source.

    The record's own in their order, without the reasons, then the story: which dead letter it was,
    how often it was sent back, when, where it first lay, and why it failed.

    Args:
        headers: of the dead letter.
        letter: its reasons.
        place: where the dead letter lies.
        at_ns: now, in nanoseconds since the epoch.
    """
    before = read_redrive(headers)
    source = (
        Place(letter.topic, letter.partition, letter.offset)
        if before is None
        else Place(before.source_topic, before.source_partition, before.source_offset)
    )
    story: dict[str, str | int] = {
        "attempt": 1 if before is None else before.attempt + 1,
        "at": format_ns(at_ns),
        "dead_letter_topic": place.topic,
        "dead_letter_partition": place.partition,
        "dead_letter_offset": place.offset,
        "source_topic": source.topic,
        "source_partition": source.partition,
        "source_offset": source.offset,
        "reason": f"{letter.stage}: {letter.message}",
    }
    kept = [(name, value) for name, value in headers if name not in _OURS | _REPLAYS]
    return kept + _written(story, _REDRIVE_NAMES)


def _written(fields: Mapping[str, str | int], names: Mapping[str, str]) -> list[tuple[str, bytes]]:
    # "replace": a message may quote a lone surrogate, which UTF-8 cannot write.
    return [(names[name], str(value).encode(errors="replace")) for name, value in fields.items()]


def read_redrive(headers: Headers) -> Redrive | None:
    """How a record came back from the dead letters; None if it did not, or says nonsense."""
    try:
        return _read(Redrive, _REDRIVE_NAMES, headers, what="a redrive")
    except InvalidRecordError:
        return None


def _read(model: type[_MODEL], names: Mapping[str, str], headers: Headers, *, what: str) -> _MODEL:
    """A model of headers that are all text.

    Raises:
        InvalidRecordError: one is missing or makes no sense.
    """
    wanted = set(names.values())
    found = {name: value.decode(errors="replace") for name, value in headers if name in wanted}
    missing = [name for name in names.values() if name not in found]
    if missing:
        raise InvalidRecordError(f"not {what}: header {missing[0]} is missing")
    fields: dict[str, str | int] = {name: found[header] for name, header in names.items()}
    for name, field in model.model_fields.items():
        if field.annotation is not int:
            continue
        text = str(fields[name])
        if not (text.isascii() and text.isdecimal()) or len(text) > _MAX_DIGITS:
            raise InvalidRecordError(f"header {names[name]} must be a number, got {text[:40]!r}")
        fields[name] = int(text)
    try:
        return model.model_validate(fields)
    except ValueError as error:
        raise InvalidRecordError(f"not {what}: {error}") from error
