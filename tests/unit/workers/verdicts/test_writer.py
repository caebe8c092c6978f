"""What a change of wishes does when it is disturbed, and when it must not be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from tests.support.wishes import document, off, wish_id
from workers.errors import BrokerUnavailableError, TransactionAbortedError, VigieError
from workers.verdicts.standing import with_wish, without_wish
from workers.verdicts.writer import WishWriter


class FakeTopic:
    """A topic, its table and the sink that writes to it; the first `failures` commits fail."""

    def __init__(self, *failures: Exception, value: bytes | None = None) -> None:
        self.failures = list(failures)
        self.found: dict[bytes, bytes | None] = {} if value is None else {b"p1": value}
        self.pauses: list[float] = []
        self.written: list[tuple[bytes, bytes | None, int]] = []
        self.is_open = False

    @contextmanager
    def open(self, _offsets: Any, **_: Any) -> Iterator[Any]:
        self.is_open = True
        self.begin()
        yield self
        self.is_open = False

    def latest(self, partition: int) -> Any:
        assert self.is_open, "read before the other writers were fenced"
        assert partition == 0
        return self.found

    def begin(self) -> None:
        self.waiting: list[tuple[bytes, bytes | None, int]] = []

    def send(self, _topic: str, *, key: bytes, value: bytes | None, partition: int) -> None:
        self.waiting.append((key, value, partition))

    def commit(self, *_: Any, **__: Any) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.written += self.waiting


def change(topic: FakeTopic, how: Any) -> Any:
    writer: Any = WishWriter
    made = writer(sink=topic, table=topic, topic="t", pause=topic.pauses.append, rng=Random(0))
    return made.change("p1", how)


def add(wish: Any) -> Any:
    return lambda found: with_wish(found, wish)


def test_a_wish_goes_to_the_one_partition_under_its_key():
    topic = FakeTopic()
    before, after = change(topic, add(off(1)))
    assert (before.wishes, after.wishes) == ((), (off(1),))
    assert topic.written == [(b"p1", document("p1", off(1)), 0)]
    assert topic.pauses == []


def test_without_a_wish_left_the_key_is_removed():
    topic = FakeTopic(value=document("p1", off(1)))
    change(topic, lambda found: without_wish(found, wish_id(1)))
    assert topic.written == [(b"p1", None, 0)]


def test_what_stands_already_is_not_written_again():
    topic = FakeTopic(value=document("p1", off(1)))
    change(topic, add(off(1)))
    assert topic.written == []


def test_a_commit_that_failed_is_tried_again_after_a_while():
    topic = FakeTopic(TransactionAbortedError("fenced"), BrokerUnavailableError("fenced"))
    change(topic, add(off(1)))
    assert len(topic.written) == 1
    assert len(topic.pauses) == 2
    assert all(0 <= pause <= 3 for pause in topic.pauses)


def test_it_gives_up_in_the_end_and_says_why():
    topic = FakeTopic(*(TransactionAbortedError("fenced") for _ in range(12)))
    with pytest.raises(TransactionAbortedError, match=r"for p1 were not written, in 12.*fenced"):
        change(topic, add(off(1)))
    assert topic.written == []
    assert len(topic.pauses) == 11


def test_what_cannot_be_changed_is_not_tried_again():
    topic = FakeTopic()
    with pytest.raises(VigieError, match="vigie verdict list"):
        change(topic, lambda found: without_wish(found, wish_id(1)))
    assert (topic.written, topic.pauses) == ([], [])


def test_a_document_of_a_later_version_is_not_written_over():
    topic = FakeTopic(value=b'{"v":2,"key":"p1","wishes":[]}')
    with pytest.raises(VigieError, match="A later version of Vigie"):
        change(topic, add(off(1)))
    assert topic.written == []
