"""Where something is in a record."""

from __future__ import annotations

import pytest

from schemas.record_path import RecordPath
from schemas.wire.errors import InvalidRecordError

ITEM = {"a": {"b.c": [{"v": 1}], "0": 2, "d": None}, "é": 3, "a.b": 4, "x?": 5}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (".", ITEM),
        ("/", ITEM),
        ('a."b.c".0.v', 1),
        ("a.0", 2),
        ("/é", 3),
        ('"a.b"', 4),
        ('"x?"', 5),
        ("a.d", None),
        ("gone?.a.0", 2),
        ("a?.0", 2),
    ],
)
def test_a_path_finds_what_is_there(text, found):
    path = RecordPath.parse(text)
    assert path.of(ITEM) == found
    assert path.column([ITEM, ITEM]) == [found, found]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b", "'b' is missing; it has: 'a, é, a.b, x?'"),
        ("/b", "'b' is missing; the record has: 'a, é, a.b, x?'"),
        ("a.e", "'e' is missing; 'a' has: 'b.c, 0, d'"),
        ('a."b.c".1', "'1' is missing; 'a.b.c' is an array of 1"),
        ("a.d.e", "'e' is missing; 'a.d' is None"),
        ("é.e", "'e' is missing; 'é' is 3"),
        ('a."b.c"."0"', "'0' is missing; 'a.b.c' is an array of 1"),
        ("é.e?", "'e' is missing; 'é' is 3"),
    ],
)
def test_a_path_says_what_is_missing_and_what_is_there(text, message):
    path = RecordPath.parse(text)
    with pytest.raises(InvalidRecordError) as caught:
        path.of(ITEM)
    assert str(caught.value) == message
    with pytest.raises((LookupError, TypeError)):
        path.column([ITEM])


@pytest.mark.parametrize(
    "text", ["", "a.", ".a", "a..b", "a[0]", '"a', 'a"b', "?", "a??", "//a", "x" * 501, '["a"]']
)
def test_what_is_no_path_is_an_error(text):
    with pytest.raises(ValueError, match="is no path"):
        RecordPath.parse(text)
