"""Matchers as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.api.matchers import Matcher
from tests.support.alert_specs import examples, matcher
from workers.alerts.matcher_text import (
    MAX_TEXT_CHARS,
    format_matcher,
    parse_matcher,
    parse_matchers,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('severity="high"', ("severity", "=", "high")),
        ('sensor_id=~"pump-.*"', ("sensor_id", "=~", "pump-.*")),
        ("a=b", ("a", "=", "b")),
        ("a!=b", ("a", "!=", "b")),
        ("a!~b|c", ("a", "!~", "b|c")),
        ("a=~b{1,2}", ("a", "=~", "b{1,2}")),
        ("  a  =  b c  ", ("a", "=", "b c")),
        ('a = " b "  ', ("a", "=", " b ")),
        ("a=", ("a", "=", "")),
        ('a=""', ("a", "=", "")),
        ("a==b", ("a", "=", "=b")),
        (r'a="\"\\\n"', ("a", "=", '"\\\n')),
        (r'a=~"pump-\d+"', ("a", "=~", r"pump-\d+")),
        (r"a=~pump-\d+", ("a", "=~", r"pump-\d+")),
        ('"the site"="x"', ("the site", "=", "x")),
        ("été.1=x", ("été.1", "=", "x")),
    ],
)
def test_a_text_is_a_matcher(text, expected):
    assert parse_matcher(text) == matcher(*expected)


@pytest.mark.parametrize(
    "text",
    ["", "a", "=b", '"a', 'a="b', 'a="b"c', 'a=b"c', "a b=c", "{a=b", '""=b', 'a="b",c="d"', "a~b"],
)
def test_what_is_no_matcher_says_what_one_looks_like(text):
    with pytest.raises(ValueError, match=r"no matcher, such as severity|name: String should have"):
        parse_matcher(text)


@pytest.mark.parametrize(
    "text",
    ['a="b",c=~"d,}"', '{a="b",c=~"d,}"}', ' { a = b , c=~"d,}" , } ', 'a=b,c=~"d,}",'],
)
def test_a_list_of_matchers_may_stand_in_braces(text):
    assert parse_matchers(text) == (matcher("a", "=", "b"), matcher("c", "=~", "d,}"))


def test_an_empty_list_has_no_matchers():
    assert parse_matchers("{}") == parse_matchers(" ") == ()


@pytest.mark.parametrize("text", [",a=b", "a=b,,c=d", 'a="b" c="d"', "{a=b}}x=", "{,}"])
def test_a_list_with_something_else_in_it_is_rejected(text):
    with pytest.raises(ValueError, match="no matcher"):
        parse_matchers(text)


def test_a_value_that_is_too_long_names_the_field():
    with pytest.raises(ValueError, match="value: String should have at most"):
        parse_matcher("a=" + "x" * 300)


@pytest.mark.parametrize("filler", [" ", "\\", '"', "a", "=", "\\a"])
def test_a_text_that_hardly_ends_is_rejected(filler):
    for parse in (parse_matcher, parse_matchers):
        with pytest.raises(ValueError, match=r"no matcher|at most"):
            parse('a="' + filler * ((MAX_TEXT_CHARS - 8) // len(filler)) + '" "')
        with pytest.raises(ValueError, match="at most"):
            parse("a=" + filler * MAX_TEXT_CHARS)


LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
ANY_MATCHER = st.builds(
    Matcher,
    name=st.text(LETTERS, min_size=1, max_size=10),
    value=st.text(LETTERS, max_size=20) | st.text(alphabet='\\"n\n,{}', max_size=8),
    is_regex=st.booleans(),
    is_equal=st.booleans(),
)


@examples(80)
@given(st.lists(ANY_MATCHER, max_size=3))
def test_a_matcher_survives_its_text(some):
    texts = [format_matcher(one) for one in some]

    assert [parse_matcher(text) for text in texts] == some
    assert parse_matchers(",".join(texts)) == tuple(some)
    assert parse_matchers("{" + ", ".join(texts) + "}") == tuple(some)
