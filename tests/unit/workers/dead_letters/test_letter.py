"""What an operator sees of a dead letter: safe to print."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.settings import Settings
from schemas.wire.dead_letter import Place, redrive_headers
from tests.support.dead_letters import dead_letter
from workers.cli.views.dead_letters import print_letters
from workers.dead_letters.letter import Letter, summary_document, text_of, when
from workers.dead_letters.selection import Filter, newest, parse_place, parse_since
from workers.kafka.client import Record
from workers.printable import printable

SETTINGS = Settings()


def make_letter(
    value: bytes = b"bad", *, offset: int = 0, stamp_ms: int = 0, **more: object
) -> Letter:
    sent = dead_letter(value, SETTINGS, **more)  # type: ignore[arg-type]
    return Letter.of(
        Record("dead", 0, offset, stamp_ms, sent["key"], sent["value"], sent["headers"])
    )


@given(text=st.text())
def test_what_is_printed_holds_no_control_character(text):
    assert printable(text).isprintable()


@given(value=st.binary(max_size=300))
def test_no_value_prints_a_control_character(value):
    assert all(printable(line).isprintable() for line in text_of(value).split("\n"))


@pytest.mark.parametrize(
    ("stamp_ms", "text"),
    [
        (-1, "-"),
        (1_763_812_800_123, "2025-11-22T12:00:00.123Z"),
        (10**17, "3170843-11-07T09:46:40.000Z"),
    ],
)
def test_a_timestamp_of_any_size_can_be_shown(stamp_ms, text):
    assert when(stamp_ms) == text


def test_attempts_count_the_redrives():
    letter = make_letter(offset=9)
    assert letter.attempts == 1
    assert letter.reasons is not None
    sent = redrive_headers(letter.headers, letter.reasons, place=letter.place, at_ns=0)
    assert make_letter(headers=sent).attempts == 2


def test_a_document_without_its_value_is_one_line_of_json():
    document = summary_document(make_letter())
    assert {"value", "headers"}.isdisjoint(document)
    assert document["bytes"] == 3


def test_a_list_prints_no_control_character_and_a_line_each(capsys):
    evil = "\x1b[2J\u202e\n"
    letter = make_letter()
    assert letter.reasons is not None
    reasons = letter.reasons.model_copy(update={"topic": evil, "stage": evil})
    summaries, stages = newest([replace(letter, reason=evil, reasons=reasons)], 1)
    print_letters(summaries, stages, topic="dead")
    out = capsys.readouterr().out
    assert out.count("\n") == 3
    assert out.replace("\n", "").isprintable()


@given(stamps=st.lists(st.integers(0, 20), max_size=40), most=st.integers(1, 10))
def test_the_newest_are_kept_in_order(stamps, most):
    letters = [make_letter(offset=at, stamp_ms=stamp) for at, stamp in enumerate(stamps)]
    kept, stages = newest(letters, most)
    expected = sorted((stamp, at) for at, stamp in enumerate(stamps))
    places = [f"0:{at}" for _, at in expected[max(len(expected) - most, 0) :]]
    assert [summary["place"] for summary in kept] == places
    assert stages.total() == len(stamps)


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [("90s", 999_910_000), ("15m", 999_100_000), ("2h", 992_800_000), ("1.5d", 870_400_000),
     ("9999999w", 0), ("1970-01-02T00:00:00Z", 86_400_000)],
)  # fmt: skip
def test_since_is_a_time_or_an_age(text, epoch_ms):
    assert parse_since(text, now_s=1_000_000) == epoch_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2h ago", "-2h", "2 years"])
def test_since_rejects_what_is_neither(text):
    with pytest.raises(ValueError, match="an age: 90s"):
        parse_since(text, now_s=0)


@pytest.mark.parametrize(
    "text", ["", "1", ":", "1:", ":1", "1:2:3", "a:1", "1:x", "²:1", "1:" + "9" * 20]
)
def test_a_place_is_two_numbers(text):
    with pytest.raises(ValueError, match="PARTITION:OFFSET"):
        parse_place(text, "dead")


def test_a_filter_asks_for_all_that_it_names():
    letter = make_letter(partition=3, stamp_ms=1000)
    asked = Filter(reason="NOT json", since_ms=1000, source="vigie.readings:3")
    assert asked.passes(letter)
    for other in (
        Filter(reason="no such"), Filter(since_ms=1001), Filter(source="other"),
        Filter(source="vigie.readings:2"),
    ):  # fmt: skip
        assert not other.passes(letter)


def test_a_record_of_another_program_passes_no_filter_of_a_source():
    foreign = Letter.of(Record("dead", 0, 0, 0, None, None, ()))
    assert Filter().passes(foreign)
    assert Filter(reason="not a dead letter").passes(foreign)
    assert not Filter(source="vigie.readings").passes(foreign)
    assert foreign.place == Place("dead", 0, 0)


def test_a_source_may_name_its_partition():
    letter = make_letter(partition=3)
    assert Filter(source="vigie.readings").passes(letter)
    assert Filter(source="vigie.readings:3").passes(letter)


@pytest.mark.parametrize("source", ["", ":3", "t:", "t:x", "t:1:2", "t:²", "t:03"])
def test_a_source_of_another_form_is_rejected(source):
    with pytest.raises(ValueError, match="TOPIC:PARTITION"):
        Filter(source=source)
