"""When a delivery is tried again."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.alert_specs import examples
from workers.alerts.schedule import (
    JITTER,
    MAX_RETRY_AFTER_S,
    SCHEDULE_S,
    next_due_ns,
    parse_retry_after,
)

S = 10**9
FAR_NS = 10**19
NOW_NS = 1_796_000_000 * S


def test_the_schedule_is_that_of_standard_webhooks():
    hours = 3600
    assert (
        *(0, 5, 300, 1800),
        *(2 * hours, 5 * hours, 10 * hours, 14 * hours, 20 * hours, 24 * hours),
    ) == SCHEDULE_S


@pytest.mark.parametrize(("attempts", "pause_s"), [*enumerate(SCHEDULE_S), (10, 86_400)])
def test_each_attempt_follows_after_its_pause(attempts, pause_s):
    assert next_due_ns(attempts, NOW_NS, 0.0, None, FAR_NS) == NOW_NS + pause_s * S


def test_jitter_makes_a_pause_longer_never_shorter():
    assert next_due_ns(2, NOW_NS, 0.5, None, FAR_NS) == NOW_NS + 315 * S


def test_a_receiver_that_asks_for_a_longer_pause_gets_it():
    assert next_due_ns(1, NOW_NS, 0.0, 60.0, FAR_NS) == NOW_NS + 60 * S
    assert next_due_ns(2, NOW_NS, 0.0, 60.0, FAR_NS) == NOW_NS + 300 * S


def test_no_receiver_puts_a_delivery_off_for_more_than_a_day():
    assert next_due_ns(1, NOW_NS, 0.0, 1e300, FAR_NS) == NOW_NS + 86_400 * S


def test_what_would_be_too_old_is_given_up():
    assert next_due_ns(2, NOW_NS, 0.0, None, NOW_NS + 300 * S) is None
    assert next_due_ns(2, NOW_NS, 0.0, None, NOW_NS + 300 * S + 1) == NOW_NS + 300 * S
    assert next_due_ns(0, NOW_NS, 0.0, None, NOW_NS) is None


@examples(80)
@given(
    attempts=st.integers(0, 40),
    jitter=st.floats(0, 1, exclude_max=True),
    asked=st.none() | st.floats(0, 1e9),
    left_s=st.integers(0, 400_000),
)
def test_a_delivery_is_tried_before_it_is_too_old_and_never_before_its_pause(
    attempts, jitter, asked, left_s
):
    due_ns = next_due_ns(attempts, NOW_NS, jitter, asked, NOW_NS + left_s * S)

    pause_s = max(SCHEDULE_S[min(attempts, 9)], min(asked or 0.0, MAX_RETRY_AFTER_S))
    if due_ns is None:
        assert left_s <= pause_s * (1 + JITTER)
    else:
        assert NOW_NS + pause_s * S - 1 <= due_ns < NOW_NS + left_s * S


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("999999999999999999999999", MAX_RETRY_AFTER_S),
        ("Tue, 30 Nov 2026 00:55:00 GMT", 1700.0),
        ("Monday, 30-Nov-26 00:55:00 GMT", 1700.0),
        ("Mon Nov 30 00:55:00 2026", 1700.0),
        ("Mon, 30 Nov 2026 02:55:00 +0200", 1700.0),
        ("Mon, 30 Nov 2020 00:55:00 GMT", 0.0),
        ("Mon, 30 Nov 2099 00:55:00 GMT", MAX_RETRY_AFTER_S),
    ],
)
def test_retry_after_is_seconds_or_a_date_up_to_a_day(text, expected):
    now_ns = 1_795_998_400 * S  # 2026-11-30T00:26:40Z

    assert parse_retry_after(text, now_ns) == expected


def test_a_date_without_a_zone_is_of_greenwich_wherever_we_are(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        found = parse_retry_after("Mon Nov 30 00:55:00 2026", 1_795_998_400 * S)
    finally:
        monkeypatch.undo()
        time.tzset()

    assert found == 1700.0


@pytest.mark.parametrize(
    "text",
    [None, "", "-1", "1.5", "soon", "²", "١٢", "9" * 65, "Mon, 99 Nov 2026 00:55:00 GMT", "1e3"],
)
def test_what_is_no_retry_after_says_nothing(text):
    assert parse_retry_after(text, NOW_NS) is None


@examples(100)
@given(
    st.text(max_size=70)
    | st.text(alphabet="0123456789:,-+ MonNovGMT", max_size=40)
    | st.datetimes().map(lambda at: at.strftime("%a, %d %b %Y %H:%M:%S GMT"))
)
def test_any_retry_after_is_a_pause_within_bounds_or_none(text):
    found = parse_retry_after(text, NOW_NS)

    assert found is None or 0.0 <= found <= MAX_RETRY_AFTER_S
