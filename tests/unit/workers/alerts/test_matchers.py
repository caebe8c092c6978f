"""Alertmanager's matchers over labels."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.alert_specs import examples, label_sets, matcher, matchers
from workers.alerts.matchers import LabelMatcher, LabelMatchers, is_vacuous


def does(name, how, value, labels):
    return LabelMatcher.of(matcher(name, how, value)).matches(labels)


@pytest.mark.parametrize(
    ("how", "value", "expected"),
    [
        ("=", "lyon", True),
        ("=", "Lyon", False),
        ("!=", "lyon", False),
        ("!=", "paris", True),
        ("=~", "ly.*", True),
        ("=~", "ly", False),
        ("=~", "yon", False),
        ("=~", "paris|lyon", True),
        ("=~", "lyo|n", False),
        ("!~", "ly.*", False),
        ("!~", "ly", True),
    ],
)
def test_an_operator_means_what_it_does_for_alertmanager(how, value, expected):
    assert does("site", how, value, {"site": "lyon"}) is expected


@pytest.mark.parametrize(
    ("how", "value", "expected"),
    [
        ("=", "", True),
        ("!=", "", False),
        ("=~", ".*", True),
        ("=~", ".+", False),
        ("!~", "x", True),
    ],
)
def test_a_missing_label_is_the_empty_text(how, value, expected):
    assert does("site", how, value, {}) is expected


def test_an_expression_has_to_fit_all_of_a_label_that_has_lines():
    assert not does("site", "=~", "lyon", {"site": "lyon\n"})
    assert not does("site", "=~", "^lyon$", {"site": "paris\nlyon"})
    assert not does("site", "=~", "lyon.*", {"site": "lyon\n"})


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", r"missing \)"),
        ("a**", "bad repetition"),
        ("(?=a)", "invalid perl operator"),
        (r"(a)\1", "invalid escape"),
        ("a{2000}", "repetition"),
        (r"\p{L}{200}", "too large"),
        ("((((a{100}){100}){100}){100})", "repetition"),
        ("a\ud800", "half a character"),
    ],
)
def test_an_expression_that_is_not_one_of_re2_or_too_large_says_why(pattern, reason, capfd):
    raw = matcher("site", "=", "x").model_copy(update={"value": pattern, "is_regex": True})

    with pytest.raises(ValueError, match=reason):
        LabelMatcher.of(raw)
    assert capfd.readouterr().err == ""


def test_an_expression_that_makes_others_backtrack_for_ever_is_harmless():
    assert not does("site", "=~", "(a+)+(a+)+(a+)+$", {"site": "a" * 240 + "b"})


def test_a_label_that_is_no_valid_text_is_compared_all_the_same():
    assert not does("site", "=~", "lyon", {"site": "\ud800"})
    assert does("site", "!~", "lyon", {"site": "\ud800"})


def test_matchers_all_have_to_match():
    both = LabelMatchers.of([matcher("site", "=~", "l.*"), matcher("line", "=", "1")])

    assert both.match({"site": "lyon", "line": "1"})
    assert not both.match({"site": "lyon", "line": "2"})
    assert not both.match({"site": "paris", "line": "1"})
    assert LabelMatchers.of([]).match({})


@pytest.mark.parametrize(
    ("given_matchers", "expected"),
    [
        ([], True),
        ([("site", "=", "")], True),
        ([("site", "=~", ".*")], True),
        ([("site", "!=", "x")], True),
        ([("site", "=~", ".*"), ("line", "=", "1")], False),
        ([("site", "=~", ".+")], False),
    ],
)
def test_matchers_are_vacuous_if_all_match_the_empty_text(given_matchers, expected):
    assert is_vacuous([matcher(*one) for one in given_matchers]) is expected


def naive(one, labels):
    """The words of the documentation; Python's expressions read these patterns alike."""
    text = labels.get(one.name, "")
    found = re.fullmatch(one.value, text) is not None if one.is_regex else text == one.value
    return found if one.is_equal else not found


@examples(80)
@given(st.lists(matchers(), max_size=3), label_sets)
def test_matchers_equal_the_documentation_read_word_by_word(some, labels):
    assert LabelMatchers.of(some).match(labels) is all(naive(one, labels) for one in some)


@examples(60)
@given(matchers(), label_sets)
def test_a_required_text_is_the_only_one_that_matches(one, labels):
    ready = LabelMatcher.of(one)

    if ready.required is not None and ready.matches(labels):
        assert ready.required in labels.items()


@examples(80)
@given(pattern=st.text(alphabet="ab(|)*+?[]{}\\.^$1,-é\n", max_size=20), text=st.text(max_size=8))
def test_any_text_is_an_expression_or_a_reason(pattern, text):
    try:
        ready = LabelMatcher.of(matcher("site", "=~", pattern))
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is right, an error of another kind is not
    else:
        assert ready.matches({"site": text}) in {True, False}
