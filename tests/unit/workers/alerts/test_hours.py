"""Hours of a week in a time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.api.matchers import Hours, Weekday
from tests.support.alert_specs import examples
from workers.alerts.hours import is_within, next_start_ns

MINUTE_NS = 60 * 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WORKING = ["mon", "tue", "wed", "thu", "fri"]


def ns(text):
    """Nanoseconds of a time with its offset."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1) * 1000


def hours(start, end, zone="Europe/Paris", days=tuple(Weekday)):
    return Hours.model_validate({"start": start, "end": end, "time_zone": zone, "days": days})


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-30T08:59:59.999999+01:00", False),
        ("2026-11-30T09:00:00+01:00", True),
        ("2026-11-30T16:59:59.999999+01:00", True),
        ("2026-11-30T17:00:00+01:00", False),
        ("2026-11-28T12:00:00+01:00", False),
        ("2026-11-30T09:30:00+02:00", False),
    ],
)
def test_hours_are_from_their_start_to_before_their_end(at, expected):
    assert is_within(hours("09:00", "17:00", days=WORKING), ns(at)) is expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-27T21:59:00+01:00", False),
        ("2026-11-27T22:00:00+01:00", True),
        ("2026-11-28T05:59:00+01:00", True),
        ("2026-11-28T06:00:00+01:00", False),
        ("2026-11-28T23:00:00+01:00", False),
    ],
)
def test_hours_over_midnight_are_of_the_day_on_which_they_begin(at, expected):
    assert is_within(hours("22:00", "06:00", days=["fri"]), ns(at)) is expected


def test_hours_that_end_when_they_start_are_a_whole_day():
    whole = hours("00:00", "00:00", days=["mon"])

    assert not is_within(whole, ns("2026-11-29T23:59:59+01:00"))
    assert is_within(whole, ns("2026-11-30T00:00:00+01:00"))
    assert is_within(whole, ns("2026-11-30T23:59:59+01:00"))
    assert not is_within(whole, ns("2026-12-01T00:00:00+01:00"))


def test_a_start_that_the_clock_skips_is_when_it_is_put_forward():
    """29 March 2026: in Paris, 03:00 follows 01:59."""
    night = hours("02:30", "05:00")

    assert not is_within(night, ns("2026-03-29T01:59:59+01:00"))
    assert is_within(night, ns("2026-03-29T03:00:00+02:00"))
    assert next_start_ns(night, ns("2026-03-29T00:00:00+01:00")) == ns("2026-03-29T03:00:00+02:00")


def test_a_start_that_comes_twice_is_the_first():
    """25 October 2026: in Paris, 02:00 follows 02:59."""
    night = hours("02:30", "05:00")

    assert next_start_ns(night, ns("2026-10-25T00:00:00+02:00")) == ns("2026-10-25T02:30:00+02:00")
    assert is_within(night, ns("2026-10-25T02:10:00+01:00"))
    assert not is_within(night, ns("2026-10-25T02:10:00+02:00"))


def test_an_end_that_comes_twice_is_the_first():
    late = hours("20:00", "02:30")

    assert is_within(late, ns("2026-10-25T02:29:00+02:00"))
    assert not is_within(late, ns("2026-10-25T02:10:00+01:00"))


def test_hours_that_the_clock_skips_are_none_on_that_day():
    skipped = hours("02:10", "02:50")

    assert not is_within(skipped, ns("2026-03-29T03:00:00+02:00"))
    assert next_start_ns(skipped, ns("2026-03-29T00:00:00+01:00")) == ns(
        "2026-03-30T02:10:00+02:00"
    )


def test_a_day_that_a_zone_skips_has_no_hours():
    """Samoa went over the date line: there was no 30 December 2011, a Friday."""
    fridays = hours("09:00", "17:00", "Pacific/Apia", ["fri"])

    assert next_start_ns(fridays, ns("2011-12-29T12:00:00-10:00")) == ns(
        "2012-01-06T09:00:00+14:00"
    )


def test_within_the_hours_the_next_start_is_now():
    at_ns = ns("2026-11-30T12:00:00+01:00") + 7

    assert next_start_ns(hours("09:00", "17:00"), at_ns) == at_ns


def test_the_next_start_may_be_almost_a_week_away():
    monday = hours("09:00", "17:00", days=["mon"])

    assert next_start_ns(monday, ns("2026-11-30T17:00:00+01:00")) == ns("2026-12-07T09:00:00+01:00")


ZONES = (
    "Europe/Paris",
    "America/St_Johns",  # put back over midnight, until 2011
    "America/Sao_Paulo",  # put forward at midnight, until 2018
    "Australia/Lord_Howe",  # by half an hour
    "Asia/Kathmandu",
    "UTC",
)
CHANGES = (
    (date(2026, 3, 28), "Europe/Paris"),
    (date(2026, 10, 24), "Europe/Paris"),
    (date(2010, 11, 6), "America/St_Johns"),
    (date(2010, 3, 13), "America/St_Johns"),
    (date(2018, 11, 3), "America/Sao_Paulo"),
    (date(2018, 2, 17), "America/Sao_Paulo"),
    (date(2026, 4, 4), "Australia/Lord_Howe"),
    (date(2026, 10, 3), "Australia/Lord_Howe"),
    (date(2011, 12, 29), "Pacific/Apia"),
)


def walk(given_hours, start, minutes):
    """Minutes in the hours, by looking at the wall clock of every minute from two days before."""
    zone = ZoneInfo(given_hours.time_zone)
    first = start - timedelta(days=3)
    walls = [
        (first + timedelta(minutes=n)).astimezone(zone).replace(tzinfo=None)
        for n in range(3 * 1440 + minutes)
    ]
    # The latest that the clock has shown so far: a time is reached once, whatever is put back.
    reached = walls[0]
    within = []
    for n, wall in enumerate(walls):
        reached = max(reached, wall)
        if n >= 3 * 1440:
            within.append(_has(given_hours, reached))
    return within


def _has(given_hours, wall):
    """Whether hours of a day have begun and not ended when the clock has come so far."""
    for back in (0, 1):
        day = wall.date() - timedelta(days=back)
        begin = datetime.combine(day, given_hours.start)
        end = datetime.combine(day, given_hours.end)
        if end <= begin:
            end += timedelta(days=1)
        if list(Weekday)[day.weekday()] in given_hours.days and begin <= wall < end:
            return True
    return False


MINUTES = st.one_of(st.integers(0, 95).map(lambda quarter: quarter * 15), st.integers(0, 1439)).map(
    lambda minute: f"{minute // 60:02}:{minute % 60:02}"
)
NEAR_MIDNIGHT = st.sampled_from(["00:00", "00:30", "01:00", "02:00", "02:30", "03:00", "23:30"])


@examples(25)
@given(
    change=st.sampled_from(CHANGES),
    start=MINUTES | NEAR_MIDNIGHT,
    end=MINUTES | NEAR_MIDNIGHT,
    days=st.sets(st.sampled_from(list(Weekday)), min_size=1).map(sorted),
)
def test_hours_equal_a_walk_along_the_wall_clock(change, start, end, days):
    day, zone = change
    some = hours(start, end, zone, days)
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    begin_ns = (begin - EPOCH) // timedelta(microseconds=1) * 1000
    walked = walk(some, begin, 3 * 1440)

    found = [is_within(some, begin_ns + n * MINUTE_NS) for n in range(0, len(walked), 5)]

    assert found == walked[::5]
    starts = [n for n, now in enumerate(walked) if now]
    for n in range(0, len(walked), 97):
        ahead = next((one for one in starts if one >= n), None)
        if ahead is not None:
            assert next_start_ns(some, begin_ns + n * MINUTE_NS) == begin_ns + ahead * MINUTE_NS


@examples(100)
@given(
    start=MINUTES,
    end=MINUTES,
    days=st.sets(st.sampled_from(list(Weekday)), min_size=1).map(sorted),
    zone=st.sampled_from(ZONES),
    at_ns=st.integers(-(10**18), 4 * 10**18),
)
def test_the_next_start_is_in_the_hours_and_what_is_just_before_is_not(
    start, end, days, zone, at_ns
):
    some = hours(start, end, zone, days)

    found = next_start_ns(some, at_ns)

    assert found >= at_ns
    assert is_within(some, found)
    assert found == at_ns or not is_within(some, found - 1)
    assert (found == at_ns) is is_within(some, at_ns)


@examples(60)
@given(change=st.sampled_from(CHANGES), border=MINUTES | NEAR_MIDNIGHT, minute=st.integers(0, 4320))
def test_day_and_night_leave_no_hole_and_share_nothing(change, border, minute):
    day, zone = change
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minute)
    at_ns = (begin - EPOCH) // timedelta(microseconds=1) * 1000
    other = "12:00" if border != "12:00" else "13:00"

    assert is_within(hours(border, other, zone), at_ns) is not is_within(
        hours(other, border, zone), at_ns
    )
