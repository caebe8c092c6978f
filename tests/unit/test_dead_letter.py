"""Dead letters keep the record and say why."""

from __future__ import annotations

import pytest

from schemas.columns import Failure
from schemas.dead_letter import DeadLetter, dead_letter_headers, read_dead_letter
from schemas.errors import InvalidRecordError, MalformedRecordError
from schemas.limits import MAX_MESSAGE_CHARS


def make_headers(message="not JSON", original=()):
    return dead_letter_headers(
        Failure(position=5, stage="decode", exception="MalformedRecordError", message=message),
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
