"""Documents of wishes: what is read back is what was written, and everything has a bound."""

from __future__ import annotations

import json

import pytest

from schemas.wire.errors import InvalidRecordError
from schemas.wire.verdict import (
    MAX_LATENT,
    MAX_NOTE_CHARS,
    MAX_PROFILE,
    MAX_WISHES,
    decode_wishes,
    is_pattern,
)
from tests.support.wishes import document, false_alarm, fault, forget, new_normal, off, wish_id

ONE_OF_EACH = (
    fault(1, note="bearing changed"),
    false_alarm(2, incident=2, after_ns=1_700_000_000_123_456_789),
    new_normal(3),
    forget(4),
    off(5, until_ns=30_000_000_000),
)


def changed(**more):
    """A document with one wish, some of whose fields are others."""
    (wish,) = json.loads(document("p1", fault(1)))["wishes"]
    return json.dumps({"v": 1, "key": "p1", "wishes": [wish | more]}).encode()


def test_every_kind_comes_back_as_it_was_written():
    assert decode_wishes(b"p1", document("p1", *ONE_OF_EACH)).wishes == ONE_OF_EACH


def test_times_are_milliseconds_or_text_on_the_wire():
    wishes = json.loads(document("p1", *ONE_OF_EACH))["wishes"]
    assert wishes[0]["start"] == 10_000
    assert wishes[1]["after"] == "2023-11-14T22:13:20.123456789Z"
    read = changed(start="1970-01-01T00:00:10Z", after="1970-01-01T00:00:11Z")
    (wish,) = decode_wishes(b"p1", read).wishes
    assert wish == fault(1, after_ns=11_000_000_000)


def test_fields_of_a_later_writer_are_ignored():
    assert decode_wishes(b"p1", changed(mood="good")).wishes == (fault(1),)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"{", "Invalid JSON"),
        (b'{"key":"p1","wishes":[]}', "v: Field required"),
        (b'{"v":2,"key":"p1","wishes":[]}', "Input should be 1"),
        (b'{"v":1,"key":"p2","wishes":[]}', "are of another sensor, 'p2'"),
        (changed(kind="praise"), "praise"),
        (changed(kind="false_alarm"), "profile: Field required"),
        (changed(end=9_999), "the end comes before the start"),
        (changed(id="1"), "UUID"),
        (changed(note="x" * (MAX_NOTE_CHARS + 1)), "at most 1000"),
        (changed(charge=-1.0), "greater than or equal to 0"),
        (document("p1", fault(1)).replace(b"}]", b"},null]"), "wishes.1"),
    ],
)
def test_what_is_no_such_document_is_said(value, said):
    with pytest.raises(InvalidRecordError, match=r"the wishes of b'p1'") as caught:
        decode_wishes(b"p1", value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: document("p1", *(off(n) for n in range(MAX_WISHES + 1))),
        lambda: document("p1", off(1), new_normal(1)),
        lambda: false_alarm(1, latent=(0.0,) * (MAX_LATENT + 1)),
        lambda: false_alarm(1, latent=(float("nan"),)),
        lambda: false_alarm(1, profile={str(n): 0.0 for n in range(MAX_PROFILE + 1)}),
        lambda: false_alarm(1, profile={}),
        lambda: off(1, by=""),
        lambda: document("", off(1)),
    ],
)
def test_everything_has_a_bound(make):
    with pytest.raises(ValueError, match="validation error"):
        make()


def test_a_document_at_its_bounds_is_a_small_record():
    name = "ä" * 240
    largest = [
        false_alarm(
            n,
            incident=n,
            by=name,
            note="ü" * MAX_NOTE_CHARS,
            profile={f"{name}{k}": -1.2345678901234567e-100 for k in range(MAX_PROFILE)},
            latent=(-1.2345678901234567e-100,) * MAX_LATENT,
        )
        for n in range(MAX_WISHES)
    ]
    assert len(document(name, *largest)) < 500_000


def test_only_a_key_with_signs_of_a_pattern_is_one():
    assert [is_pattern(key) for key in ("pump-*", "pump-?", "pump-[12]", "pump-1")] == [
        True,
        True,
        True,
        False,
    ]


def test_ids_are_what_they_were():
    assert decode_wishes(b"p1", document("p1", off(7))).wishes[0].id == wish_id(7)
