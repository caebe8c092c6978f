"""What becomes of a record that could not be decoded: the raw bytes, and headers that say why.

Header names are those of Kafka Connect's dead letter queue, so that its tools read them. Values are
UTF-8 text. The record's own headers, key and value stay untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from schemas.columns import Failure
from schemas.errors import InvalidRecordError
from schemas.fields import Name, Offset, Partition, WireModel
from schemas.limits import MAX_MESSAGE_CHARS

Headers = Sequence[tuple[str, bytes]]
"""Headers of a record in their order; a name may come more than once."""


class DeadLetter(WireModel):
    """Where a dead letter came from and what was wrong with it: its headers, read back."""

    topic: Annotated[Name, Field(alias="__connect.errors.topic")]
    """Topic of the record."""
    partition: Annotated[Partition, Field(alias="__connect.errors.partition")]
    """Partition of the record."""
    offset: Annotated[Offset, Field(alias="__connect.errors.offset")]
    """Offset of the record."""
    stage: Annotated[str, Field(alias="__connect.errors.stage", min_length=1, max_length=64)]
    """Where it failed: decode, schema, channels, size or content-type."""
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


_NAMES = {name: str(field.alias) for name, field in DeadLetter.model_fields.items()}
_OURS = frozenset(_NAMES.values())
_NUMBERS = ("partition", "offset")


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
    replaced: the headers do not grow with each attempt.

    Args:
        failure: what went wrong; its position in the batch is of no interest here.
        topic: topic of the record.
        partition: partition of the record.
        offset: offset of the record.
        app_version: version of Vigie.
        original: headers of the record.
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
    kept = [(name, value) for name, value in original if name not in _OURS]
    # "replace": a message may quote a lone surrogate, which UTF-8 cannot write.
    return kept + [
        (_NAMES[name], str(reason).encode(errors="replace")) for name, reason in reasons.items()
    ]


def read_dead_letter(headers: Headers) -> DeadLetter:
    """The reasons of a dead letter.

    Raises:
        InvalidRecordError: headers are missing or make no sense; not a dead letter of Vigie's.
    """
    found = {name: value.decode(errors="replace") for name, value in headers if name in _OURS}
    missing = [name for name in _NAMES.values() if name not in found]
    if missing:
        raise InvalidRecordError(f"not a dead letter: header {missing[0]} is missing")
    fields: dict[str, str | int] = {name: found[header] for name, header in _NAMES.items()}
    for name in _NUMBERS:
        text = str(fields[name])
        if not (text.isascii() and text.isdecimal()) or len(text) > len(str(2**63)):
            raise InvalidRecordError(f"header {_NAMES[name]} must be a number, got {text[:40]!r}")
        fields[name] = int(text)
    try:
        return DeadLetter.model_validate(fields)
    except ValueError as error:
        raise InvalidRecordError(f"not a dead letter: {error}") from error
