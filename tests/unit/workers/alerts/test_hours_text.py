"""Hours as text: what they mean, and what is none."""

from __future__ import annotations

from datetime import time

import pytest

from schemas.api.matchers import Weekday
from workers.alerts.hours_text import parse_hours

WEEK = [day.value for day in Weekday]


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("08:00-18:00", WEEK),
        ("mon-fri 08:00-18:00", WEEK[:5]),
        ("Sat,SUN 08:00-18:00", WEEK[5:]),
        ("fri-mon,wed 08:00-18:00", ["mon", "wed", "fri", "sat", "sun"]),
        ("tue-mon 08:00-18:00", WEEK),
        ("sun-sun 08:00-18:00", ["sun"]),
    ],
)
def test_days_are_names_and_ranges(text: str, days: list[str]) -> None:
    found = parse_hours(text)
    assert (list(found.days), found.start, found.end) == (days, time(8), time(18))
    assert found.time_zone == "UTC"


def test_a_zone_and_the_end_of_the_day_are_read() -> None:
    found = parse_hours("  mon 08:00-24:00   Europe/Paris ")
    assert (found.time_zone, found.end) == ("Europe/Paris", time(0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no hours"),
        ("mon-fri", "no hours"),
        ("8-18", "no hours"),
        ("xyz 08:00-18:00", "'xyz' is no day"),
        ("mon-tue-wed 08:00-18:00", "no range of days"),
        ("08:00-25:00", "end"),
        ("08:00-18:00 Mars/Olympus", "no time zone"),
        ("08:00-18:00" + " " * 300, "no hours"),
    ],
)
def test_what_is_none_is_said(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_hours(text)
