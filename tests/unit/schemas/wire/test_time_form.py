"""Times as other people write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from schemas.wire.time_form import TimeForm
from schemas.wire.timestamp import TimestampError, format_ns

NOW_NS = 1_760_920_000 * 10**9
BERLIN = "Europe/Berlin"


def ns_of(text):
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000


def read(value, *, stamp_ms=-1, **form):
    """The time by itself, which must be what it is among others."""
    made = TimeForm(**form)
    one = made.one(value, stamp_ms)
    assert made.array([value, value], np.array([stamp_ms] * 2)).tolist() == [one, one]
    return one


def why(value, *, stamp_ms=-1, **form):
    made = TimeForm(**form)
    with pytest.raises(TimestampError) as caught:
        made.one(value, stamp_ms)
    with pytest.raises(TimestampError):
        made.array([value], np.array([stamp_ms]))
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "unit", "extra_ns"),
    [
        (1_760_920_000, "s", 0),
        (1_760_920_000.25, "s", 250_000_000),
        (1_760_920_000.123457, "s", 123_457_000),
        (1_760_920_000_000, "ms", 0),
        (1_760_920_000_000.25, "ms", 250_000),
        (1_760_920_000_000_001, "us", 1_000),
        (1_760_920_000_000_001.0, "us", 1_000),
        (1_760_920_000_000_000_001, "ns", 1),
        (1.76092e18, "ns", 0),
    ],
)
def test_epoch_numbers_are_exact(value, unit, extra_ns):
    assert read(value, unit=unit) == NOW_NS + extra_ns


@pytest.mark.parametrize("microsecond", [1, 3, 499_999, 999_999])
def test_a_fraction_of_seconds_is_exact_to_the_microsecond_until_2100(microsecond):
    for second in (1_000_000_000, 1_760_920_000, 4_102_444_799):
        value = float(f"{second}.{microsecond:06d}")
        assert read(value, unit="s") == second * 10**9 + microsecond * 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T10:30:00Z", "2026-11-22T10:30:00+00:00"),
        ("2026-11-22 11:30:00+01", "2026-11-22T10:30:00+00:00"),
        ("2026-11-22 11:30:00 +0100", "2026-11-22T10:30:00+00:00"),
        ("2026-11-22t05:00:00,25-05:30", "2026-11-22T10:30:00.250+00:00"),
        ("2026-11-22T10:30+00:00", "2026-11-22T10:30:00+00:00"),
    ],
)
def test_iso_8601_needs_no_form(text, expected):
    assert read(text) == ns_of(expected)


def test_a_text_is_exact_to_the_nanosecond():
    assert read("2026-11-22T10:30:00.123456789+00") % 10**9 == 123_456_789
    assert read("1760920000.123456789", unit="s", reads_text_numbers=True) == NOW_NS + 123_456_789


def test_a_number_that_is_text_is_one_on_request_only():
    assert read("1760920000", unit="s", reads_text_numbers=True) == NOW_NS
    message = why("1760920000", unit="s")
    assert '(input.numbers = "text" reads it as a number)' in message


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("22.11.2026 11:30:00", "%d.%m.%Y %H:%M:%S", "2026-11-22T10:30:00+00:00"),
        ("11/22/26 11:30:00.25 AM", "%m/%d/%y %I:%M:%S.%f %p", "2026-11-22T10:30:00.250+00:00"),
        ("20261122", "%Y%m%d", "2026-11-21T23:00:00+00:00"),
        ("20261122T103000+0000", "%Y%m%dT%H%M%S%z", "2026-11-22T10:30:00+00:00"),
    ],
)
def test_a_text_has_the_form_it_is_said_to_have(text, pattern, expected):
    assert read(text, pattern=pattern, zone=BERLIN) == ns_of(expected)


def test_a_text_of_another_form_says_which_form_was_expected():
    assert why("x", pattern="%Y%m%d", zone="UTC") == (
        "'x' has not the form \"%Y%m%d\" (input.time_format)"
    )
    assert 'must be a text of the form "%Y%m%d"' in why(20261122, pattern="%Y%m%d", zone="UTC")


def test_a_text_without_an_offset_needs_a_zone():
    assert "say in input.timezone which clock it is" in why("2026-11-22T10:30:00")
    assert read("2026-07-01T12:00:00", zone=BERLIN) == ns_of("2026-07-01T12:00:00+02:00")
    assert read("2026-12-01T12:00:00", zone=BERLIN) == ns_of("2026-12-01T12:00:00+01:00")
    assert read("2026-12-01T12:00:00", zone="+05:30") == ns_of("2026-12-01T12:00:00+05:30")
    assert read("2026-12-01T12:00:00", zone="-05:30") == ns_of("2026-12-01T12:00:00-05:30")
    assert read("2026-12-01T12:00:00Z", zone=BERLIN) == ns_of("2026-12-01T12:00:00+00:00")


@pytest.mark.parametrize(
    ("stamp", "offset"),
    [
        (None, "+02:00"),
        ("2026-10-25T02:30:00+02:00", "+02:00"),
        ("2026-10-25T02:59:59+02:00", "+02:00"),
        ("2026-10-25T02:00:01+01:00", "+01:00"),
        ("2026-10-25T02:59:59+01:00", "+01:00"),
        ("2026-10-25T03:00:01+01:00", "+02:00"),
    ],
)
def test_in_the_hour_that_comes_twice_a_stamp_near_the_second_chooses_it(stamp, offset):
    stamp_ms = -1 if stamp is None else ns_of(stamp) // 10**6
    found = read("2026-10-25T02:30:00", zone=BERLIN, stamp_ms=stamp_ms)
    assert found == ns_of(f"2026-10-25T02:30:00{offset}")


def test_a_live_sensor_keeps_both_hours_in_order():
    """A reading a minute, each sent a second later, through the night in which clocks go back."""
    begin = ns_of("2026-10-25T01:30:00+02:00")
    truth = [begin + i * 60 * 10**9 for i in range(180)]
    shown = [
        format_ns(ns + (2 if ns < ns_of("2026-10-25T02:00:00+01:00") else 1) * 3600 * 10**9)[:19]
        for ns in truth
    ]
    found = TimeForm(zone=BERLIN).array(shown, np.array(truth) // 10**6 + 1_000)
    assert found.tolist() == truth


def test_the_hour_that_does_not_exist_is_an_error():
    message = why("2026-03-29T02:30:00", zone=BERLIN)
    assert message.startswith("2026-03-29T02:30:00 does not exist in Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "unit", "right"),
    [
        (1_760_920_000, "ms", "s"),
        (1_760_920_000.25, "ms", "s"),
        (1_760_920_000, "ns", "s"),
        (1_760_920_000_000, "ns", "ms"),
        (1_760_920_000_000_000, "ns", "us"),
        (1_760_920_000_000, "us", "ms"),
        (1_760_920_000_000, "s", "ms"),
        (1_760_920_000_000_000_000, "ms", "ns"),
    ],
)
def test_todays_time_in_another_unit_is_not_taken_for_1970_in_silence(value, unit, right):
    message = why(value, unit=unit)
    assert f'is input.time_unit = "{right}" right?' in message


@pytest.mark.parametrize("value", [45_950, 45_950.018, 20_000, 80_000])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_day_number_of_a_spreadsheet_is_not_taken_for_1970_in_silence(value, unit):
    assert "counted from 1900: send seconds since 1970" in why(value, unit=unit)
    assert "1900" in why(str(value), unit=unit, reads_text_numbers=True)


@pytest.mark.parametrize(("value", "unit"), [(0, "ms"), (0.0, "s"), (86_400_000, "ms"), (3, "s")])
def test_a_clock_that_was_not_set_is_not_believed(value, unit):
    assert "lies in January or February 1970, as that of a clock that was not set" in why(
        value, unit=unit
    )


def test_1970_is_read_where_it_is_meant():
    """A simulation may write its days as text, or begin before them."""
    assert read("1970-01-01T00:00:00Z") == 0
    assert read(-5) == -5_000_000
    assert read(60 * 86_400, unit="s") == 60 * 86_400 * 10**9


@pytest.mark.parametrize(
    "value",
    [None, True, {}, [], math.nan, math.inf, 1e308, 10**30, "", "x", "2026-02-30T00:00:00Z",
     "2026-01-01T24:00:00Z", "2026-01-01T00:00:00+25", "9999-01-01T00:00:00Z", "1" * 5000],
)  # fmt: skip
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_what_is_no_time_is_an_error(value, unit):
    assert why(value, unit=unit, zone="UTC", reads_text_numbers=True)


def test_mixed_times_are_read_as_each_would_be_alone():
    form = TimeForm(unit="s", reads_text_numbers=True)
    values = [-1, 1_760_920_000.5, "1760920000", "2026-11-22T10:30:00Z", 2**53 // 10**6 + 1]
    assert form.array(values, None).tolist() == [form.one(value, -1) for value in values]
