"""Dead letters keep the record and say why."""

from __future__ import annotations

import pytest

from schemas.columns import Failure
from schemas.wire.dead_letter import (
    TRUNCATED,
    DeadLetter,
    Place,
    Redrive,
    dead_letter_headers,
    read_dead_letter,
    read_redrive,
    redrive_headers,
    truncated_bytes,
)
from schemas.wire.errors import InvalidRecordError, MalformedRecordError, Stage
from schemas.wire.limits import MAX_MESSAGE_CHARS


def make_headers(message="not JSON", original=()):
    return dead_letter_headers(
        Failure(position=5, stage=Stage.DECODE, exception="MalformedRecordError", message=message),
        topic="vigie.readings",
        partition=3,
        offset=17,
        app_version="0.1.0",
        original=original,
    )


def test_the_headers_are_those_of_kafka_connect():
    assert make_headers() == [
        ("__connect.errors.topic", b"vigie.readings"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"17"),
        ("__connect.errors.stage", b"decode"),
        ("__connect.errors.exception.class.name", b"MalformedRecordError"),
        ("__connect.errors.exception.message", b"not JSON"),
        ("vigie.errors.app.version", b"0.1.0"),
    ]


def test_the_records_own_headers_stay_in_order_untouched():
    original = [("content-type", b"x"), ("trace", b"\xff"), ("trace", b"2")]
    assert make_headers(original=original)[:3] == original


def test_headers_do_not_grow_when_a_record_fails_again():
    once = make_headers(original=[("trace", b"1")])
    again = make_headers(message="still not JSON", original=once)
    assert len(again) == len(once)
    assert read_dead_letter(again).message == "still not JSON"


def test_a_dead_letter_is_read_back():
    assert read_dead_letter(make_headers(message="é")) == DeadLetter(
        topic="vigie.readings",
        partition=3,
        offset=17,
        stage="decode",
        exception="MalformedRecordError",
        message="é",
        app_version="0.1.0",
    )


def test_a_message_that_utf8_cannot_write_is_written_anyway():
    assert read_dead_letter(make_headers(message="\ud800")).message == "?"


def test_a_long_message_is_cut():
    failure = Failure.of(0, MalformedRecordError("x" * 10_000))
    assert len(failure.message) == MAX_MESSAGE_CHARS
    assert failure.message.endswith("...")
    assert len(read_dead_letter(make_headers(message="x" * 10_000)).message) == MAX_MESSAGE_CHARS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("__connect.errors.offset", b"many"),
        ("__connect.errors.offset", b"-1"),
        ("__connect.errors.offset", b"9" * 30),
        ("__connect.errors.partition", b"\xb2"),
        ("__connect.errors.topic", b""),
    ],
)
def test_headers_that_make_no_sense_are_refused(name, value):
    headers = [(key, value if key == name else text) for key, text in make_headers()]
    with pytest.raises(InvalidRecordError):
        read_dead_letter(headers)


def test_a_record_without_reasons_is_no_dead_letter():
    with pytest.raises(InvalidRecordError, match=r"__connect\.errors\.topic is missing"):
        read_dead_letter([("content-type", b"x")])


PLACE = Place("vigie.dead-letters", 1, 9)
NOON_NS = 1_763_812_800 * 10**9


def sent_back(headers, place=PLACE):
    return redrive_headers(headers, read_dead_letter(headers), place=place, at_ns=NOON_NS)


def test_a_replay_tells_its_story_and_keeps_the_records_own_headers():
    original = [("content-type", b"x"), ("trace", b"\xff"), ("trace", b"2")]
    headers = sent_back(make_headers(original=original))
    assert headers[:3] == original
    assert read_redrive(headers) == Redrive(
        attempt=1,
        at="2025-11-22T12:00:00.000000000Z",
        dead_letter_topic="vigie.dead-letters",
        dead_letter_partition=1,
        dead_letter_offset=9,
        source_topic="vigie.readings",
        source_partition=3,
        source_offset=17,
        reason="decode: not JSON",
    )


def test_a_replay_is_no_dead_letter_any_more():
    headers = sent_back([*make_headers(), (TRUNCATED, b"500")])
    assert {name for name, _ in headers if "errors" in name} == set()
    with pytest.raises(InvalidRecordError):
        read_dead_letter(headers)


def test_a_second_replay_counts_up_and_remembers_where_the_record_first_lay():
    first = sent_back(make_headers(original=[("trace", b"1")]))
    failure = Failure(
        position=0, stage=Stage.SCHEMA, exception="InvalidRecordError", message="again"
    )
    failed = dead_letter_headers(
        failure, topic="vigie.readings", partition=3, offset=800, app_version="1", original=first
    )
    assert read_dead_letter(failed).offset == 800
    second = sent_back(failed, place=Place("vigie.dead-letters", 1, 55))
    story = read_redrive(second)
    assert story is not None
    assert (story.attempt, story.source_offset, story.dead_letter_offset) == (2, 17, 55)
    assert story.reason == "schema: again"
    assert len(second) == len(first), "the headers grow with each replay"


@pytest.mark.parametrize("headers", [[], [("vigie.redrive.attempt", b"banana")]])
def test_a_record_that_never_came_back_has_no_story(headers):
    assert read_redrive(headers) is None


@pytest.mark.parametrize("value", [b"banana", b"0", b"-1", b"9" * 40])
def test_a_forged_attempt_is_no_story(value):
    headers = sent_back(make_headers())
    forged = [(name, value if name == "vigie.redrive.attempt" else text) for name, text in headers]
    assert read_redrive(forged) is None


def test_a_dead_letter_cut_short_says_how_long_it_was():
    assert truncated_bytes(make_headers()) is None
    assert truncated_bytes([*make_headers(), (TRUNCATED, b"5000")]) == 5000
    assert truncated_bytes([(TRUNCATED, b"nonsense")]) is not None


def test_the_contract_names_every_stage():
    told = DeadLetter.model_fields["stage"].description or ""
    assert all(stage in told for stage in Stage)
