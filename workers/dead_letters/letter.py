"""A dead letter as an operator sees it. Pure; nothing here prints a control character.

What is in a dead letter was written by its sender: escape sequences in it would run in the terminal
of the one who looks.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.wire.dead_letter import (
    DeadLetter,
    Place,
    Redrive,
    read_dead_letter,
    read_redrive,
    truncated_bytes,
)
from schemas.wire.errors import InvalidRecordError
from workers.kafka.client import Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """One record of the dead-letter topic."""

    place: Place
    stamp_ms: int  # its timestamp, when it was given up; below 0 for none
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    reasons: DeadLetter | None  # None when it is no dead letter of Vigie's
    reason: str  # what was wrong with the record, or else with its headers; not safe to print
    story: Redrive | None  # of its last redrive; None if it was never sent back
    truncated: int | None  # bytes that the record had, if only the first of them are here

    @classmethod
    def of(cls, record: Record) -> Letter:
        """Read a record; never fails."""
        headers = tuple((name, value or b"") for name, value in record.headers)
        reasons = None
        try:
            reasons = read_dead_letter(headers)
            reason = reasons.message
        except InvalidRecordError as error:
            reason = str(error).splitlines()[0]
        return cls(
            place=Place(record.topic, record.partition, record.offset),
            stamp_ms=record.timestamp,
            key=record.key,
            value=record.value or b"",
            headers=headers,
            reasons=reasons,
            reason=reason,
            story=read_redrive(headers),
            truncated=truncated_bytes(headers),
        )

    @property
    def attempts(self) -> int:
        """How often the record was tried: once, and once per redrive."""
        return 1 + (self.story.attempt if self.story else 0)


def short_place(place: Place) -> str:
    """As the commands take it: partition:offset."""
    return f"{place.partition}:{place.offset}"


def text_of(value: bytes | None) -> str:
    """A key, a header or a value as text; what is no UTF-8 becomes an escape. Not safe to print."""
    return "-" if value is None else value.decode(errors="backslashreplace")


def when(stamp_ms: int) -> str:
    """A timestamp, RFC 3339 to the millisecond."""
    return "-" if stamp_ms < 0 else f"{np.datetime64(stamp_ms, 'ms')}Z"


def summary_document(letter: Letter) -> dict[str, Any]:
    """What `list` says of a dead letter, small enough to keep many: without headers and value."""
    reasons = letter.reasons
    return {
        "place": short_place(letter.place),
        "topic": letter.place.topic,
        "time": when(letter.stamp_ms),
        "source": reasons
        and reasons.model_dump(include={"topic", "partition", "offset"}, by_alias=False),
        "stage": reasons.stage if reasons else "?",
        "exception": reasons and reasons.exception,
        "reason": letter.reason,
        "bytes": len(letter.value),
        "truncated_bytes": letter.truncated,
        "attempts": letter.attempts,
        "key": None if letter.key is None else text_of(letter.key),
    }


def whole_document(letter: Letter) -> dict[str, Any]:
    """What `show --json` prints: with headers, story and value."""
    try:
        text = letter.value.decode()
    except UnicodeDecodeError:
        text = None
    return summary_document(letter) | {
        "app_version": letter.reasons and letter.reasons.app_version,
        "redrive": letter.story and letter.story.model_dump(by_alias=False),
        "headers": [[name, text_of(value)] for name, value in letter.headers],
        "value": text,
        "value_base64": base64.b64encode(letter.value).decode() if text is None else None,
    }
