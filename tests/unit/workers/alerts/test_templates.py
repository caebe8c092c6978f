"""Titles and texts, ours and those of templates, and what templates may not do."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.api.subscriptions import EventType, Template
from tests.support.notifications import gateway_event, incident_event, message_of
from workers.alerts.templates import (
    MAX_TEXT_CHARS,
    TemplateProblemError,
    check,
    preview,
    render,
)
from workers.alerts.words import MAX_TITLE_CHARS, duration, number


def channel(**changes):
    return [
        {
            "channel": "pressure",
            "unit": "bar",
            "share": 1.0,
            "observed": 4.0,
            "expected": 6.25,
            "band": 0.5,
            "direction": "low",
            **changes,
        }
    ]


@pytest.mark.parametrize(
    ("event", "title"),
    [
        (
            incident_event(),
            "HIGH pump-7: bearing temperature 81.2 °C, expected 63.0 (opened)",
        ),
        (
            incident_event("resolved"),
            "HIGH pump-7: bearing temperature 81.2 °C, expected 63.0 (resolved after 12 min)",
        ),
        (
            incident_event("opened", severity="low", channels=channel(observed=None)),
            "LOW pump-7: pressure is missing, expected 6.25 bar (opened)",
        ),
        (
            incident_event("updated", channels=channel(direction="pattern")),
            "HIGH pump-7: pressure 4.00 bar, unusual course (expected 6.25) (goes on)",
        ),
        (
            incident_event("opened", kind="drift", channels=channel()),
            "HIGH pump-7: drift: pressure 4.00 bar, expected 6.25 (opened)",
        ),
        (
            incident_event("acknowledged", channels=[], acknowledged_by="Ana"),
            "HIGH pump-7: incident (acknowledged by Ana)",
        ),
        (
            gateway_event("detector.unhealthy", reason="100,000 records behind"),
            "The detector is unhealthy: 100,000 records behind",
        ),
        (
            gateway_event("incident.updated", "vigie/plant", kind="detector", reason="behind"),
            "vigie/plant: the detector is unhealthy: behind (goes on)",
        ),
        (gateway_event("subscription.test"), "Test: Vigie reaches you (on call)"),
        (
            gateway_event("subscription.disabled", name="old hook", reason="HTTP 410"),
            "A subscription was disabled: old hook: HTTP 410",
        ),
    ],
)
def test_a_title_says_what_happened_in_one_line(event, title):
    assert render(message_of(event)).title == title


def test_a_digest_says_how_many_were_suppressed():
    message = message_of(gateway_event("notifications.suppressed"), suppressed=12)
    assert render(message).title == "12 incidents suppressed (on call)"


def test_a_group_is_told_as_one_by_its_worst():
    message = message_of(
        incident_event(severity="low", id_="a"),
        incident_event(sensor="pump-8", id_="b"),
        incident_event("resolved", sensor="pump-9", id_="c"),
        group={"site": "Lyon"},
    )
    shown = render(message)
    assert shown.title == "HIGH 2 incidents, 1 resolved of site Lyon: pump-7, pump-8"
    assert [line.split(":")[0] for line in shown.text.split("\n")[:3]] == [
        "LOW pump-7",
        "HIGH pump-8",
        "HIGH pump-9",
    ]


def test_of_one_incident_twice_in_a_group_the_last_word_counts():
    message = message_of(incident_event(), incident_event("resolved"), group={})
    assert "resolved" in render(message).title


@pytest.mark.parametrize("type_", list(EventType))
def test_every_kind_of_event_has_words_even_without_any_data(type_):
    bare = {"id": "1", "type": type_, "source": "/x", "subject": "s"}
    shown = render(message_of(bare, name=""))
    assert shown.title
    assert "None" not in shown.title + shown.text


def test_the_text_has_channels_peak_times_labels_note_and_link():
    text = render(message_of(note="Nobody acknowledged for 15 min.")).text
    assert text.split("\n") == [
        "Nobody acknowledged for 15 min.",
        "bearing temperature 81.2 °C, expected 63.0 ± 2.10 (61% of the score)",
        "vibration 4.20 mm/s, expected 2.00 ± 0.400 (30% of the score)",
        "Highest score 3.20; the threshold is 1.0.",
        "Opened at 2023-11-14 22:13:20 UTC.",
        "line: 3, site: Lyon",
        message_of().url,
    ]


def test_names_of_sensors_can_neither_break_the_line_nor_the_terminal():
    shown = render(message_of(incident_event(sensor="p\nBcc: x\x1b[31m\u202e" + "x" * 300)))
    assert shown.title.isprintable()
    assert len(shown.title) <= MAX_TITLE_CHARS
    assert "\x1b" not in shown.text


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("{{ severity|upper }} {{ sensor }}", "HIGH pump-7"),
        ("{{ labels.site }}/{{ labels['line'] }}", "Lyon/3"),
        ("{{ channel }} {{ observed|round(1) }} {{ unit }}", "bearing temperature 81.2 °C"),
        ("{{ '%.2f'|format(peak) }} {{ (observed - expected)|number }}", "3.20 18.2"),
        ("{% for c in channels %}{{ loop.index }}{{ c.channel }};{% endfor %}",
         "1bearing temperature;2vibration;"),
        ("{{ channels|join(', ', attribute='channel') }}", "bearing temperature, vibration"),
        ("{% if incident.peak > 3 %}!{% endif %}{{ incident.model.name }}", "!pump"),
        ("{{ labels.missing|default('nowhere') }}", "nowhere"),
        ("{% set s = severity %}{{ s }} {{ type }} {{ event.source }}",
         "high incident.opened /vigie/plant"),
        ("{{ title|truncate(10) }}", "HIGH pump…"),
        ("{{ incidents|length }} {{ firing|count }} {{ resolved|count }}", "1 1 0"),
    ],
)  # fmt: skip
def test_a_template_says_what_it_says(source, result):
    shown = preview(Template(title=source), message_of())
    assert (shown.title, shown.problem) == (result, "")


def test_a_label_called_like_a_method_is_the_label():
    message = message_of(incident_event(labels={"items": "pumps", "get": "x"}))
    assert preview(Template(title="{{ labels.items }}{{ labels.get }}"), message).title == "pumpsx"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ {}|length }}",
        "{{ labels['__class__'] }}",
        "{{ sensor.__class__.__mro__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__ }}",
        "{{ range(10) }}",
        "{{ 'a'.upper() }}",
        "{{ lipsum }}",
        "{{ unknown }}",
        "{{ unknown|upper }}",
        "{{ labels.unknown }}",
        "{{ sensor|attr('upper') }}",
        "{% include 'x' %}",
        "{% import 'os' as os %}",
        "{% macro m() %}{% endmacro %}",
        "{% set x %}a{% endset %}",
        "{% filter upper %}a{% endfilter %}",
        "{% block a %}{% endblock %}",
        "{{ 'a' ~ 'b' }}",
        "{{ 2 ** 9 }}",
        "{{ 'a' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{{ '%1000000000d'|format(1) }}",
        "{{ '%*d'|format(1000000000, 1) }}",
        "{{ 'a' + 'b' }}",
        "{{ 999999999 * 999999999 }}",
        "{{ 1 / 0 }}",
        "{{ ''|first|int }}",
        "{{ [1,2,3,4,5,6,7,8,9]|join('" + "x" * 3000 + "') }}",
        "{{ 'aaaaaaaaaaaaaaaa'|replace('a', '" + "a" * 2000 + "') }}",
        "{% for a in 'abc' recursive %}{% endfor %}",
        "{% for a in sensor %}{% endfor %}",
        "{{ " + "(" * 300 + "1" + ")" * 300 + " }}",
        "{{ " + "not " * 300 + "1 }}",
        "{% if %}",
        "{{",
    ],
)
def test_what_a_template_may_not_do_costs_its_text_never_the_notification(source):
    began = time.perf_counter()
    shown = preview(Template(text=source), message_of())
    assert time.perf_counter() - began < 2
    assert shown.problem
    assert shown.title == render(message_of()).title
    assert shown.text.startswith("bearing temperature 81.2 °C")
    assert shown.text.endswith(f"({shown.problem})")


def nested_loops(body, depth):
    return "{% for a in incidents %}" * depth + body + "{% endfor %}" * depth


@pytest.mark.parametrize(
    "source",
    [
        nested_loops("", 40),
        nested_loops("{% if sensor %}{% endif %}", 5),
        nested_loops("x", 3),
        nested_loops("{% if incidents|tojson|length > 5 %}{% endif %}", 3),
        nested_loops("{% set x = incident|tojson|upper|lower|title %}", 3),
        "{% for a in incidents %}{{ a.incident|tojson }}{% endfor %}",
    ],
)
def test_loops_in_loops_end_soon_and_fill_nothing(source):
    message = message_of(*(incident_event(id_=str(n)) for n in range(300)), group={})
    began = time.process_time()
    shown = preview(Template(text=source), message)
    assert time.process_time() - began < 2
    assert len(shown.text) < MAX_TEXT_CHARS + 500
    assert shown.problem


def test_a_template_without_a_word_leaves_our_title():
    shown = preview(Template(title="{% if false %}x{% endif %}"), message_of())
    assert shown.title == render(message_of()).title


def test_a_template_that_is_not_understood_is_told_with_its_line():
    with pytest.raises(TemplateProblemError, match=r"^template.text: line 2: .*nothing can be"):
        check(Template(title="{{ sensor }}", text="a\n{{ range(3) }}"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(81.24, "81.2"), (1013.25, "1013"), (0.0, "0.000"), (0.00123, "0.00123"), (-5.0, "-5.00"),
     (1e12, "1e+12"), (float("inf"), "inf")],
)  # fmt: skip
def test_numbers_have_as_many_digits_as_people_read(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(44.6, "45 s"), (750, "12 min"), (7260, "2 h 1 min"), (86_400, "1 d"), (-1, "0 s")],
)
def test_time_spans_have_one_or_two_units(seconds, text):
    assert duration(seconds) == text


WORDS = """
{{ }} {% %} {# #} for in if else endfor endif set is not and | . , ( ) [ ] ' 1 -1 9e9 + * % /
sensor labels incidents incident title x loop defined none upper join length tojson truncate
default round format replace int number recursive
"""
PIECES = st.sampled_from(WORDS.split())


@given(source=st.lists(PIECES, max_size=25).map(" ".join) | st.text("{}%|[]('.1a ", max_size=30))
@settings(max_examples=150, deadline=None)
def test_no_template_keeps_a_notification_from_being_told(source):
    shown = preview(Template(title=source, text=source), message_of())
    assert shown.title
    assert "\n" not in shown.title
    with suppress(TemplateProblemError):
        check(Template(title=source))
        assert "is not there" not in shown.problem
