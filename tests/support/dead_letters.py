"""Dead letters as the stream makes them, for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from schemas.codec import Decoder
from schemas.columns import Failure
from schemas.settings import Settings
from schemas.wire.dead_letter import dead_letter_headers
from tests.support.broker import produce
from tests.support.models import CHANNELS, encoded, reading_records
from workers.cli import main as cli
from workers.kafka.client import Connection

Headers = Sequence[tuple[str, bytes]]

GOOD = [record["value"] for record in encoded(reading_records(["pump-1"], 30))]
WRONG_NAMES = GOOD[0].replace(b"pressure", b"p")
"""A reading with a channel that the model does not know."""


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


Command = Callable[..., tuple[int, str, str]]
"""`vigie dead-letters` with arguments; returns exit code, output and errors."""


def where(settings: Settings) -> list[str]:
    """The options that name the topic."""
    return ["--bootstrap", settings.kafka.bootstrap, "--topic", settings.topics.dead_letters]


def make_command(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command on these topics."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(["dead-letters", *arguments, *where(settings)])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


def give_up(connection: Connection, settings: Settings, letters: list[dict[str, Any]]) -> None:
    """Put dead letters into their topic."""
    produce(connection, settings.topics.dead_letters, letters)


def lines(output: str) -> list[dict[str, Any]]:
    """What was printed as a line of JSON each."""
    return [json.loads(line) for line in output.splitlines()]
