"""Dead letters on their way back: what goes, what stays, and what is known when it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from schemas.codec import FRAME_JSON
from schemas.settings import Settings
from schemas.wire.dead_letter import TRUNCATED, Place, read_replay
from tests.support.dead_letters import dead_letter
from tests.support.fakes import FakeRecord
from tests.support.models import CHANNELS, encoded, reading_records
from workers.dead_letters.letter import Letter
from workers.dead_letters.redrive import (
    Preparing,
    Repair,
    Rereading,
    Sending,
    Tally,
    send_back,
    tallied,
)
from workers.dead_letters.resender import Settled
from workers.errors import OutputsLostError

SETTINGS = Settings()
GOOD = encoded(reading_records(["pump-1"], 1))[0]["value"]
NOON_NS = 1_763_812_800 * 10**9


def make_letter(value: bytes = b"bad", *, offset: int = 0, **more: Any) -> Letter:
    sent = dead_letter(value, SETTINGS, **more)
    return Letter.of(FakeRecord("dead", 0, offset, 0, sent["key"], sent["value"], sent["headers"]))


def looped() -> Letter:
    """A dead letter that lies in the topic from which it says it came."""
    headers = dead_letter(b"x", SETTINGS)["headers"]
    return Letter.of(FakeRecord(SETTINGS.topics.readings, 0, 0, 0, None, b"x", headers))


def make_preparing(
    *, repair: Repair | None = None, partitions_of: Callable[[str], int] = lambda _: 4, **more: Any
) -> Preparing:
    return Preparing(
        repair or Repair(), partitions_of=partitions_of, now_ns=lambda: NOON_NS, **more
    )


class FakeResender:
    """Keeps what was sent; `too_large` stay, and the settling of number `fails` raises."""

    def __init__(self, *, too_large: frozenset[int] = frozenset(), fails: int = -1) -> None:
        self.too_large, self.fails = too_large, fails
        self.sent: list[Place] = []
        self.settled: list[int] = []
        self._waiting: list[Place] = []

    def send(self, tag: Place, **record: Any) -> None:
        self._waiting.append(tag)

    def settle(self) -> Settled[Place]:
        if len(self.settled) == self.fails:
            raise OutputsLostError("1 of 2 outputs did not reach the broker.")
        large = [place for place in self._waiting if place.offset in self.too_large]
        arrived = [place for place in self._waiting if place.offset not in self.too_large]
        self.settled.append(len(self._waiting))
        self._waiting = []
        self.sent += arrived
        return Settled(arrived=arrived, too_large=large)


def back(letters: list[Letter], resender: FakeResender, **more: Any) -> Tally:
    return send_back(letters, make_preparing(), resender, **more)  # type: ignore[arg-type]


def test_what_goes_back_is_the_record_with_its_story():
    sending = make_preparing().prepared(make_letter(partition=2, headers=[("trace", b"\xff")]))
    assert isinstance(sending, Sending)
    assert (sending.topic, sending.partition, sending.key) == ("vigie.readings", 2, b"pump-1")
    assert sending.value == b"bad"
    assert sending.headers[0] == ("trace", b"\xff")
    assert read_replay(sending.headers) is not None


@pytest.mark.parametrize(
    ("letter", "more", "words"),
    [
        (make_letter(b""), {}, "holds no value"),
        (make_letter(partition=4), {}, "has 4 now"),
        (make_letter(), {"partitions_of": lambda _: 0}, "does not exist"),
        (Letter.of(FakeRecord("dead", 0, 0, 0, None, b"x", ())), {}, "not a dead letter"),
        (looped(), {}, "the topic of dead letters itself"),
    ],
)
def test_what_cannot_go_back_is_told(letter, more, words):
    assert words in str(make_preparing(**more).prepared(letter))


def test_one_cut_short_goes_back_only_with_the_whole_value():
    sent = dead_letter(b"half", SETTINGS)
    headers = [*sent["headers"], (TRUNCATED, b"5000")]
    letter = Letter.of(FakeRecord("dead", 0, 0, 0, None, b"half", headers))
    assert "4 of 5,000 bytes" in str(make_preparing().prepared(letter))
    mended = make_preparing(repair=Repair(value=GOOD)).prepared(letter)
    assert isinstance(mended, Sending)
    assert TRUNCATED not in dict(mended.headers)


def test_with_a_model_what_would_fail_again_stays():
    rereading = Rereading(SETTINGS, CHANNELS)
    stays = make_preparing(rereading=rereading).prepared(make_letter())
    assert "it would fail again: decode" in str(stays)
    goes = make_preparing(rereading=rereading, repair=Repair(value=GOOD)).prepared(make_letter())
    assert isinstance(goes, Sending)
    as_frame = Repair(value=GOOD, content_type=FRAME_JSON)
    wrong = make_preparing(rereading=rereading, repair=as_frame).prepared(make_letter())
    assert "it would fail again: schema" in str(wrong)


def test_a_verdict_says_what_is_in_the_record_or_why_it_fails():
    rereading = Rereading(SETTINGS, CHANNELS)
    read = rereading.verdict(GOOD, None, now_s=NOON_NS / 1e9)
    assert read.is_readable
    assert read.told == "1 reading of pump-1, the first at 2023-11-14T22:13:20.000000000Z"
    ahead = rereading.verdict(GOOD, None, now_s=0.0)
    assert not ahead.is_readable
    assert ahead.told.startswith("clock, EventTimeAheadError")


def test_a_model_that_the_channels_do_not_fit_is_an_error():
    settings = Settings.model_validate({"stream": {"channels": {"speed": "v"}}})
    with pytest.raises(ValueError, match="speed"):
        Rereading(settings, CHANNELS)


def test_looking_counts_and_sends_nothing():
    letters = [make_letter(offset=0), make_letter(b"", offset=1), make_letter(b"", offset=2)]
    tally = tallied(letters, make_preparing())
    assert (tally.sent, tally.staying, tally.targets) == (1, 2, {"vigie.readings": 1})
    ((count, first),) = tally.refused.values()
    assert (count, first.offset) == (2, 1)


def test_everything_is_waited_for_in_parts_of_bounded_size():
    resender = FakeResender()
    progress: list[int] = []
    letters = [make_letter(offset=offset) for offset in range(2500)]
    tally = back(letters, resender, on_progress=progress.append)
    assert tally.sent == len(resender.sent) == 2500
    assert resender.settled == [1000, 1000, 500]
    assert progress == [1000, 2000, 2500]


def test_large_records_are_waited_for_sooner():
    resender = FakeResender()
    back([make_letter(b"x" * 9_000_000, offset=offset) for offset in range(4)], resender)
    assert resender.settled == [2, 2, 0]


def test_one_too_large_stays_and_the_others_are_counted():
    tally = back([make_letter(offset=o) for o in range(3)], FakeResender(too_large=frozenset({1})))
    assert (tally.sent, tally.staying) == (2, 1)
    assert "max.message.bytes" in next(iter(tally.refused))


def test_a_stop_settles_what_was_sent():
    asked: list[bool] = []

    def stop_at_the_third() -> bool:
        asked.append(len(asked) >= 2)
        return asked[-1]

    resender = FakeResender()
    tally = back([make_letter(offset=o) for o in range(9)], resender, should_stop=stop_at_the_third)
    assert tally.sent == len(resender.sent) == 2


def test_a_broker_that_fails_leaves_the_operator_with_what_is_known():
    letters = [make_letter(offset=offset) for offset in range(1500)]
    with pytest.raises(OutputsLostError) as raised:
        back(letters, FakeResender(fails=1))
    told = str(raised.value)
    assert "1,000 dead letters are with the broker" in told
    assert "500 from dead:0:1000 on are in doubt" in told


def test_reasons_without_end_are_put_together():
    tally = Tally()
    for number in range(1500):
        tally.refuse(Place("dead", 0, number), f"reason {number}")
    assert len(tally.refused) == 1001
    assert tally.staying == 1500
