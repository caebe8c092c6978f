"""Windows of maintenance: which event times a calendar covers, and what it cannot be."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.stream.state import maintenance
from workers.stream.state.maintenance import CalendarError, MaintenanceCalendar

HOUR = 3_600_000_000_000
WEEKLY = [
    "SUMMARY:Weekly service",
    "DTSTART;TZID=Europe/Berlin:20200106T060000",
    "DTEND;TZID=Europe/Berlin:20200106T080000",
    "RRULE:FREQ=WEEKLY;BYDAY=MO",
    "EXDATE;TZID=Europe/Berlin:20261130T060000",
]
DAY = ["DTSTART;VALUE=DATE:20261224", "DTEND;VALUE=DATE:20261227"]


def text_of(*events, head=()):
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:plant", *head]
    for event in events:
        lines += ["BEGIN:VEVENT", *event, "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


def ns(text):
    when = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def covered(calendar, *times):
    return calendar.covers(np.array([ns(time) for time in times], dtype=np.int64)).tolist()


def test_a_weekly_service_follows_the_clock_on_the_wall_and_has_no_end():
    calendar = MaintenanceCalendar(text_of(WEEKLY))

    winter = ("2026-11-23T04:59:59", "2026-11-23T05:00:00", "2026-11-23T06:59:59.999999")
    assert covered(calendar, *winter, "2026-11-23T07:00:00") == [False, True, True, False]
    assert covered(calendar, "2026-07-20T04:00:00", "2026-07-20T06:00:00") == [True, False]
    assert covered(calendar, "2199-12-30T05:30:00") == [True]
    assert covered(calendar, "2019-12-30T05:30:00", "1969-12-29T05:30:00") == [False, False]


def test_an_exception_is_none():
    assert covered(MaintenanceCalendar(text_of(WEEKLY)), "2026-11-30T05:30:00") == [False]


def test_an_event_that_was_moved_is_where_it_was_moved_to():
    uid = "UID:1"
    moved = [
        uid,
        "RECURRENCE-ID;TZID=Europe/Berlin:20261123T060000",
        "DTSTART;TZID=Europe/Berlin:20261124T120000",
        "DTEND;TZID=Europe/Berlin:20261124T130000",
    ]
    calendar = MaintenanceCalendar(text_of([uid, *WEEKLY], moved))

    assert covered(calendar, "2026-11-23T05:30:00", "2026-11-24T11:30:00") == [False, True]


@pytest.mark.parametrize(
    ("head", "timezone", "begins"),
    [
        ([], None, "2026-12-24T00:00:00"),
        ([], "Europe/Berlin", "2026-12-23T23:00:00"),
        (["X-WR-TIMEZONE:America/New_York"], None, "2026-12-24T05:00:00"),
        (["X-WR-TIMEZONE:America/New_York"], "+14:00", "2026-12-23T10:00:00"),
    ],
)
def test_a_day_lasts_from_midnight_to_midnight_of_its_zone(head, timezone, begins):
    calendar = MaintenanceCalendar(text_of(DAY, head=head), timezone=timezone)

    at = ns(begins) + 72 * HOUR * np.array([0, 1], dtype=np.int64)
    assert calendar.covers(at).tolist() == [True, False]
    assert calendar.covers(at - 1).tolist() == [False, True]


def test_a_time_without_a_zone_is_that_of_the_calendar():
    event = ["DTSTART:20261202T060000", "DURATION:PT2H"]

    assert covered(MaintenanceCalendar(text_of(event)), "2026-12-02T06:00:00") == [True]
    in_berlin = MaintenanceCalendar(text_of(event), timezone="Europe/Berlin")
    assert covered(in_berlin, "2026-12-02T05:00:00", "2026-12-02T07:00:00") == [True, False]


def test_a_zone_that_the_file_brings_along_is_known():
    zone = [
        "BEGIN:VTIMEZONE",
        "TZID:Plant clock",
        "BEGIN:STANDARD",
        "DTSTART:19700101T000000",
        "TZOFFSETFROM:+0300",
        "TZOFFSETTO:+0300",
        "END:STANDARD",
        "END:VTIMEZONE",
    ]
    event = ["DTSTART;TZID=Plant clock:20261202T060000", "DURATION:PT1H"]
    calendar = MaintenanceCalendar(text_of(event, head=zone))

    assert covered(calendar, "2026-12-02T03:00:00", "2026-12-02T04:00:00") == [True, False]


def test_a_cancelled_event_is_none():
    assert covered(
        MaintenanceCalendar(text_of([*WEEKLY, "STATUS:cancelled"])), "2026-11-23T05:30:00"
    ) == [False]


def test_settling_follows_each_event_into_the_next_span_that_is_looked_up():
    event = ["DTSTART:20261118T230000Z", "DTEND:20261118T235959Z"]
    calendar = MaintenanceCalendar(text_of(event), settle_ns=96 * HOUR)
    assert ns("2026-11-19T00:00:00") % maintenance._SPAN_NS == 0

    times = ("2026-11-19T00:00:00", "2026-11-22T23:59:58", "2026-11-22T23:59:59")
    assert covered(calendar, *times) == [True, True, False]


def test_a_short_event_within_a_long_one_ends_nothing():
    long = ["DTSTART:20261101T000000Z", "DTEND:20261231T000000Z"]
    short = ["DTSTART:20261202T060000Z", "DURATION:PT1H"]
    calendar = MaintenanceCalendar(text_of(long, short))

    assert covered(calendar, "2026-12-02T08:00:00", "2026-10-31T23:59:00") == [True, False]


def test_a_calendar_without_events_covers_nothing():
    calendar = MaintenanceCalendar(text_of())

    assert covered(calendar, "2026-12-02T08:00:00") == [False]
    assert covered(calendar) == []


@given(cuts=st.sets(st.integers(1, 199)), seed=st.integers(0, 5))
@settings(max_examples=25)
def test_what_is_covered_depends_on_the_time_alone(cuts, seed):
    times = ns("2026-10-01T00:00:00") + np.random.default_rng(seed).integers(0, 9000, 200) * HOUR
    whole = MaintenanceCalendar(text_of(WEEKLY, DAY), settle_ns=HOUR)
    parts = MaintenanceCalendar(text_of(WEEKLY, DAY), settle_ns=HOUR)

    found = [parts.covers(piece) for piece in np.split(times, sorted(cuts))]

    assert np.concatenate(found).tolist() == whole.covers(times).tolist()
    assert whole.covers(times).tolist() == [bool(whole.covers(times[[i]])) for i in range(200)]


def test_what_was_forgotten_is_looked_up_anew(monkeypatch):
    monkeypatch.setattr(maintenance, "_MOST_SPANS", 2)
    calendar = MaintenanceCalendar(text_of(WEEKLY))
    times = ns("2026-11-02T05:30:00") + 672 * HOUR * np.arange(8)

    assert calendar.covers(times).tolist() == [True, False] + [True] * 6
    assert len(calendar._spans) <= 2
    assert calendar.covers(times).tolist() == [True, False] + [True] * 6


GOOD = text_of(WEEKLY, DAY)


@pytest.mark.parametrize(
    ("right", "wrong", "line", "says"),
    [
        (GOOD, "", 1, "is no calendar: it has to be one VCALENDAR"),
        ("BEGIN:VCALENDAR", "BEGIN:CALENDAR", 1, "it has to be one VCALENDAR, from BEGIN to END"),
        (GOOD, "hello", 1, "is no calendar"),
        (GOOD, GOOD + GOOD, 1, "is no calendar"),
        ("END:VCALENDAR", "", 1, "is no calendar"),
        ("PRODID:plant", "nonsense", 3, "is no calendar"),
        ("FREQ=WEEKLY", "FREQ=SOMETIMES", 4, "VEVENT 'Weekly service': "),
        ("FREQ=WEEKLY", "FREQ=SECONDLY", 4, "SECONDLY is too often for maintenance"),
        ("BYDAY=MO", "BYDAY=XX", 4, "VEVENT 'Weekly service': "),
        ("FREQ=WEEKLY", "INTERVAL=2", 4, "VEVENT 'Weekly service': "),
        (":20200106T060000", ":2020-01-06", 4, "DTSTART cannot be read"),
        ("EXDATE;TZID=Europe/Berlin:2026", "EXDATE;TZID=Europe/Berlin:x", 4, "EXDATE cannot be"),
        ("TZID=Europe/Berlin:20200106T06", "TZID=Mars/Here:20200106T06", 4, "no time zone 'Mars/H"),
        ("EXDATE;TZID=Europe/Berlin", "EXDATE;TZID=Mars/Here", 4, "EXDATE: no time zone"),
        ("DTSTART;VALUE=DATE:20261224\r\n", "", 11, "VEVENT 'without a name': has no DTSTART"),
        ("VALUE=DATE:20261227", "VALUE=DATE:20261223", 11, "ends before it begins"),
        ("PRODID:plant", "X-WR-TIMEZONE:Mars/Here", 3, "no time zone 'Mars/Here'"),
    ],
)
def test_a_calendar_that_cannot_be_read_says_where(right, wrong, line, says):
    assert right in GOOD

    with pytest.raises(CalendarError) as caught:
        MaintenanceCalendar(GOOD.replace(right, wrong))

    assert caught.value.line == line
    assert says in caught.value.told
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_calendar_is_read_or_refused_and_nothing_else(data):
    lines = GOOD.split("\r\n")
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.integers(0, len(lines) - 1))
        line = lines[number]
        place = data.draw(st.integers(0, len(line)))
        lines[number] = line[:place] + data.draw(st.text(max_size=3)) + line[place + 1 :]
    try:
        calendar = MaintenanceCalendar("\r\n".join(lines))
    except CalendarError:
        return
    covered(calendar, "2026-11-23T05:30:00")
