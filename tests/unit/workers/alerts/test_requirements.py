"""What an event must have for a subscription to want it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import product

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from schemas.api.matchers import Filter
from tests.support.alert_specs import (
    GLOBS,
    SENSORS,
    alerts,
    examples,
    filters,
    label_sets,
    matcher,
    matchers,
)
from workers.alerts.filters import passes
from workers.alerts.matchers import LabelMatcher
from workers.alerts.requirements import SUBJECT, Fit, Key, of_filters, of_globs, of_matchers


def fits(key, labels):
    text = labels.get(key.name, "")
    return {
        Fit.EQUAL: text == key.text,
        Fit.START: text.startswith(key.text),
        Fit.END: text.endswith(key.text),
    }[key.fit]


def keys_of(pattern):
    return [
        [(key.fit.name.lower(), key.text) for key in option]
        for option in of_matchers([LabelMatcher.of(matcher("site", "=~", pattern))])
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("lyon|paris", [[("equal", "lyon"), ("equal", "paris")]]),
        ("pump-.*", [[("start", "pump-")]]),
        (r"pump-\d+", [[("start", "pump")]]),
        ("pumps?", [[("start", "pump")]]),
        ("pump(-1|-2)", []),
        ("pump(-1)?", [[("start", "pum")]]),
        ("a.*|b", [[("start", "a"), ("equal", "b")]]),
        ("a|", []),
        ("(?i)lyon", []),
        (".*", []),
    ],
)
def test_an_expression_requires_what_it_begins_with(pattern, expected):
    assert keys_of(pattern) == expected


def test_any_requires_one_of_what_its_filters_require():
    both = [{"exact": {"subject": "a"}}, {"all": [{"prefix": {"subject": "b"}}]}]

    assert list(of_filters([Filter.model_validate({"any": both})])) == [
        (Key(SUBJECT, Fit.EQUAL, "a"), Key(SUBJECT, Fit.START, "b"))
    ]
    open_ended = {"any": [*both, {"exact": {"type": "x"}}]}
    assert list(of_filters([Filter.model_validate(open_ended)])) == []


def test_a_pattern_that_may_begin_and_end_with_anything_requires_nothing():
    assert of_globs(["a"], ["*b*"]) is None
    assert of_globs(["a"], ["b*", "*c"]) == (
        Key(SUBJECT, Fit.EQUAL, "a"),
        Key(SUBJECT, Fit.START, "b"),
        Key(SUBJECT, Fit.END, "c"),
    )


@examples(100)
@given(filters, alerts())
def test_what_passes_a_filter_has_all_that_it_requires(rule, event):
    assume(passes(rule, event.attributes))

    for option in of_filters([rule]):
        assert any(fits(key, {SUBJECT: event.subject}) for key in option)


@examples(100)
@given(matchers(), label_sets)
def test_what_matches_has_all_that_a_matcher_requires(one, labels):
    ready = LabelMatcher.of(one)
    assume(ready.matches(labels))

    for option in of_matchers([ready]):
        assert any(fits(key, labels) for key in option)


PIECES = (
    *("a", "b", "|", ".", "*", "?", "+", "{0}", "{1,2}", "{a}"),
    *("[ab]", "(a|b)", "(?i)", "^", "$", r"\Q\E", r"\b"),
)
TEXTS = ["".join(some) for size in range(5) for some in product("abA", repeat=size)] + [
    *("{a}", "{a", "{a}b", "a{a}", "ab{a}")
]


@examples(200)
@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
@example("{a}b*")
@example("ab{0}")
@example("a(?i)*")
@example(r"a\Q\E*")
@example(r"(a\|b)|b")
@example("[a|b]")
def test_what_fits_an_expression_has_all_that_it_requires(pattern):
    try:
        ready = LabelMatcher.of(matcher("site", "=~", pattern))
    except ValueError:
        return
    required = [*of_matchers([ready])]

    for text in TEXTS if required else ():
        if ready.matches_text(text):
            assert any(fits(key, {"site": text}) for key in required[0])


@pytest.mark.parametrize("glob", GLOBS)
def test_a_sensor_that_fits_a_pattern_has_what_it_requires(glob):
    for sensor in SENSORS:
        if fnmatchcase(sensor, glob) and (keys := of_globs([], [glob])) is not None:
            assert any(fits(key, {SUBJECT: sensor}) for key in keys)
