"""Dead letters as the stream makes them, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.codec import Decoder
from schemas.columns import Failure
from schemas.dead_letter import dead_letter_headers
from schemas.settings import Settings
from tests.support.models import CHANNELS

Headers = Sequence[tuple[str, bytes]]


def failure_of(value: bytes, settings: Settings, headers: Headers = ()) -> Failure:
    """Why the stream gives a record up; fails when it does not."""
    decoder = Decoder(
        CHANNELS,
        wire_names=settings.stream.channels,
        max_bytes=settings.stream.max_record_bytes,
        default_content_type=settings.stream.content_type,
    )
    (failure,) = decoder.decode([value], [dict(headers).get("content-type")]).failures
    return failure


def dead_letter(
    value: bytes,
    settings: Settings,
    *,
    offset: int = 0,
    partition: int = 0,
    key: bytes | None = b"pump-1",
    headers: Headers = (),
) -> dict[str, Any]:
    """Arguments of a producer's `send` for the dead letter of one record."""
    return {
        "key": key,
        "value": value,
        "headers": dead_letter_headers(
            failure_of(value, settings, headers),
            topic=settings.topics.readings,
            partition=partition,
            offset=offset,
            app_version="0.1.0",
            original=headers,
        ),
    }
