"""Dead letters on their way back: what goes, what stays, and what is known when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from schemas.codec import FRAME_JSON
from schemas.settings import Settings
from schemas.wire.dead_letter import TRUNCATED, Place, read_redrive
from tests.support.dead_letters import dead_letter
from tests.support.models import CHANNELS, encoded, reading_records
from workers.dead_letters.letter import Letter
from workers.dead_letters.redrive import (
    Preparation,
    Rereading,
    StaysError,
    Tally,
    redrive,
)
from workers.errors import BrokerUnavailableError, OutputsLostError, VigieError
from workers.kafka.client import Record
from workers.kafka.partition_producer import PartitionRecord

SETTINGS = Settings()
GOOD = encoded(reading_records(["pump-1"], 1))[0]["value"]
NOON_NS = 1_763_812_800 * 10**9


def make_letter(value: bytes = b"bad", *, offset: int = 0, **more: Any) -> Letter:
    sent = dead_letter(value, SETTINGS, **more)
    return Letter.of(Record("dead", 0, offset, 0, sent["key"], sent["value"], sent["headers"]))


def looped() -> Letter:
    """A dead letter that lies in the topic from which it says it came."""
    headers = dead_letter(b"x", SETTINGS)["headers"]
    return Letter.of(Record(SETTINGS.topics.readings, 0, 0, 0, None, b"x", headers))


def make_preparation(
    *, partitions_of: Callable[[str], int] = lambda _: 4, **more: Any
) -> Preparation:
    return Preparation(partitions_of=partitions_of, now_ns=lambda: NOON_NS, **more)


def make_rereading(**stream: Any) -> Rereading:
    return Rereading(CHANNELS, SETTINGS.stream.model_copy(update=stream), SETTINGS.input)


class FakeProducer:
    """Keeps what was delivered; `too_large` stay, and the call of number `fails` raises."""

    def __init__(self, *, too_large: frozenset[int] = frozenset(), fails: int = -1) -> None:
        self.too_large, self.fails = too_large, fails
        self.calls: list[int] = []

    def deliver(self, records: Sequence[PartitionRecord]) -> list[int]:
        if len(self.calls) == self.fails:
            raise OutputsLostError("1 of 2 outputs did not reach the broker.")
        self.calls.append(len(records))
        return [index for index in range(len(records)) if index in self.too_large]


def back(letters: Iterable[Letter], producer: FakeProducer, **more: Any) -> Tally:
    return redrive(letters, make_preparation(), producer.deliver, **more)


def test_what_goes_back_is_the_record_with_its_story():
    sent = make_preparation().prepared(make_letter(partition=2, headers=[("trace", b"\xff")]))
    assert (sent.topic, sent.partition, sent.key) == ("vigie.readings", 2, b"pump-1")
    assert sent.value == b"bad"
    assert sent.headers[0] == ("trace", b"\xff")
    assert read_redrive(sent.headers) is not None


@pytest.mark.parametrize(
    ("letter", "more", "words"),
    [
        (make_letter(b""), {}, "holds no value"),
        (make_letter(partition=4), {}, "has 4 now"),
        (make_letter(), {"partitions_of": lambda _: 0}, "does not exist"),
        (Letter.of(Record("dead", 0, 0, 0, None, b"x", ())), {}, "not a dead letter"),
        (looped(), {}, "the topic of dead letters itself"),
    ],
)
def test_what_cannot_go_back_says_why(letter, more, words):
    with pytest.raises(StaysError, match=words):
        make_preparation(**more).prepared(letter)


def test_one_cut_short_goes_back_only_with_the_whole_value():
    sent = dead_letter(b"half", SETTINGS)
    headers = [*sent["headers"], (TRUNCATED, b"5000")]
    letter = Letter.of(Record("dead", 0, 0, 0, None, b"half", headers))
    with pytest.raises(StaysError, match="4 of 5,000 bytes"):
        make_preparation().prepared(letter)
    repaired = make_preparation(value=GOOD).prepared(letter)
    assert TRUNCATED not in dict(repaired.headers)


def test_with_a_model_what_would_fail_again_stays():
    rereading = make_rereading()
    with pytest.raises(StaysError, match="it would fail again: decode"):
        make_preparation(rereading=rereading).prepared(make_letter())
    goes = make_preparation(rereading=rereading, value=GOOD).prepared(make_letter())
    assert goes.value == GOOD
    as_frame = make_preparation(rereading=rereading, value=GOOD, content_type=FRAME_JSON)
    with pytest.raises(StaysError, match="it would fail again: schema"):
        as_frame.prepared(make_letter())


def test_a_verdict_says_what_is_in_the_record_or_why_it_fails():
    rereading = make_rereading(max_ahead_s=3600)
    is_readable, detail = rereading.verdict(GOOD, (), key=None, now_ns=NOON_NS)
    assert is_readable
    assert detail == "1 reading of pump-1, the first at 2023-11-14T22:13:20.000000000Z"
    is_readable, detail = rereading.verdict(GOOD, (), key=None, now_ns=0)
    assert not is_readable
    assert detail.startswith("clock, EventTimeAheadError")


def test_a_model_that_the_channels_do_not_fit_is_an_error():
    with pytest.raises(VigieError, match="speed"):
        make_rereading(channels={"speed": "v"})


def test_a_dry_run_counts_as_the_redrive_would():
    letters = [make_letter(offset=0), make_letter(b"", offset=1), make_letter(b"", offset=2)]
    tally = redrive(letters, make_preparation(), lambda _: ())
    assert (tally.sent, tally.rejected.total(), tally.targets) == (1, 2, {"vigie.readings": 1})
    (reason,) = tally.reasons()
    assert (reason["count"], reason["first"]) == (2, "0:1")


def test_everything_is_waited_for_in_parts_of_bounded_size():
    producer = FakeProducer()
    assert back([make_letter(offset=offset) for offset in range(2500)], producer).sent == 2500
    assert producer.calls == [1000, 1000, 500]


def test_large_records_are_waited_for_sooner():
    producer = FakeProducer()
    back([make_letter(b"x" * 9_000_000, offset=offset) for offset in range(4)], producer)
    assert producer.calls == [2, 2]


def test_one_too_large_stays_and_the_others_are_counted():
    tally = back([make_letter(offset=o) for o in range(3)], FakeProducer(too_large=frozenset({1})))
    assert (tally.sent, tally.rejected.total()) == (2, 1)
    assert "max.message.bytes" in next(iter(tally.rejected))


def test_a_stop_delivers_what_was_taken():
    asked = iter([False, False, True])
    producer = FakeProducer()
    letters = [make_letter(offset=o) for o in range(9)]
    assert back(letters, producer, should_stop=lambda: next(asked)).sent == 2
    assert producer.calls == [2]


def test_a_broker_that_fails_leaves_the_operator_with_what_is_known():
    letters = [make_letter(offset=offset) for offset in range(1500)]
    with pytest.raises(OutputsLostError) as raised:
        back(letters, FakeProducer(fails=1))
    assert "1,000 dead letters are with the broker" in str(raised.value)
    assert "500 from dead:0:1000 on are in doubt" in str(raised.value)


def test_a_topic_that_cannot_be_read_on_leaves_the_operator_with_what_is_known():
    def letters() -> Iterator[Letter]:
        yield from (make_letter(offset=offset) for offset in range(1000))
        raise BrokerUnavailableError("The broker gave no record.")

    with pytest.raises(BrokerUnavailableError, match="1,000 dead letters are with the broker"):
        back(letters(), FakeProducer())


def test_reasons_without_end_are_put_together():
    tally = Tally()
    for number in range(1500):
        tally.reject(Place("dead", 0, number), f"reason {number}")
    assert len(tally.rejected) == 1001
    assert tally.rejected.total() == 1500
