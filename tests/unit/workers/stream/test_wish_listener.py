"""What a worker hears of wishes, and when it may begin."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from tests.support.clock import FakeClock
from tests.support.fakes import make_stream
from tests.support.models import encoded, reading_records
from tests.support.wishes import document, off
from workers.errors import BrokerUnavailableError
from workers.stream.wish_listener import WishListener

Records = Sequence[tuple[bytes | None, bytes | None]]


class FakeTail:
    """Gives what is put into `coming` at the next poll."""

    def __init__(self, *coming: tuple[bytes | None, bytes | None], caught_up: bool = True) -> None:
        self.coming, self.caught_up, self.polls = list(coming), caught_up, 0

    def poll(self, *, timeout_s: float = 0.0) -> Records:
        assert timeout_s == 0.0
        self.polls += 1
        given, self.coming = self.coming, []
        return given


def test_it_looks_now_and_then_and_at_every_call_until_it_is_ready() -> None:
    tail, clock = FakeTail(caught_up=False), FakeClock()
    listener = WishListener(tail, clock)
    for _ in range(3):
        listener.listen()
    assert (tail.polls, listener.is_ready) == (3, False)
    tail.caught_up = True
    listener.listen()
    assert (tail.polls, listener.is_ready) == (3, True)
    clock.advance(1.0)
    listener.listen()
    listener.listen()
    assert tail.polls == 4


def test_what_comes_stands_on_the_board() -> None:
    listener = WishListener(FakeTail((b"p", document("p", off(1)))), FakeClock())
    listener.listen()
    assert listener.board.standing("p") == (off(1),)


def test_without_a_topic_it_is_ready_and_says_nothing() -> None:
    listener = WishListener(None, FakeClock())
    listener.listen()
    assert listener.is_ready
    assert listener.board.revision == 0


def test_what_cannot_be_read_is_logged_once_and_again_when_it_is_another() -> None:
    tail, clock = FakeTail((b"p", b"{}")), FakeClock()
    listener = WishListener(tail, clock)
    with capture_logs() as logs:
        for _ in range(3):
            clock.advance(1.0)
            listener.listen()
        tail.coming = [(b"p", b"no json")]
        clock.advance(1.0)
        listener.listen()
    assert [(log["event"], log["sensor"]) for log in logs] == [("wishes_unreadable", "p")] * 2


def test_no_partition_is_taken_up_before_the_wishes_are_known() -> None:
    values = [record["value"] for record in encoded(reading_records(["a"], 10))]
    tail = FakeTail(caught_up=False)
    stream = make_stream(values, wishes=tail)
    opener = stream.loop._opener
    with pytest.raises(BrokerUnavailableError, match="verdicts"):
        opener.open(0)
    tail.caught_up = True
    assert opener.open(0).committed is None
