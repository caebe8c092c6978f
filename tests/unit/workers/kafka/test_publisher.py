"""What a publisher promises of the records that it was given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from workers.errors import OutputsLostError
from workers.kafka.publisher import Publisher


class FakeSink:
    """A sink, and the configuration that opens it; `fails` are the commits that fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.waiting: list[bytes] = []
        self.there: list[bytes] = []

    @contextmanager
    def open(self, offsets: Any, **_: Any) -> Iterator[Any]:
        offsets.check_held([], None)
        self.offsets = offsets
        yield self

    def begin(self) -> None:
        self.waiting.clear()

    def send(self, topic: str, *, value: bytes, **_: Any) -> None:
        self.waiting.append(value)

    def commit(self, offsets: Any, generation: Any, *, deadline: Any) -> None:
        if self.fails:
            raise OutputsLostError("1 of 1 outputs did not reach the broker.")
        self.there += self.waiting
        self.offsets.commit(offsets, generation, deadline=deadline)


def publish(sink: FakeSink, *values: bytes) -> None:
    with Publisher.open(sink, flush_timeout_s=1.0) as publisher:
        for value in values:
            publisher.send("t", key=None, value=value)
            if value == b"stop":
                raise KeyboardInterrupt


def test_what_was_sent_is_there_when_it_closes():
    sink = FakeSink()
    publish(sink, b"1", b"2")
    assert sink.there == [b"1", b"2"]


def test_what_was_not_settled_is_dropped_when_the_block_raises():
    sink = FakeSink()
    with pytest.raises(KeyboardInterrupt):
        publish(sink, b"1", b"stop")
    assert sink.there == []


def test_a_record_that_was_lost_is_an_error_at_the_end():
    with pytest.raises(OutputsLostError):
        publish(FakeSink(fails=True), b"1")


def test_what_was_settled_is_not_sent_again():
    sink = FakeSink()
    with Publisher.open(sink, flush_timeout_s=1.0) as publisher:
        publisher.send("t", key=None, value=b"1")
        publisher.settle()
    assert sink.there == [b"1"]
