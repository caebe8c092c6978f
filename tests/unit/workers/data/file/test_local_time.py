"""Local times of zones with every kind of change: no hour is dropped, none is moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from workers.data.file.local_time import NonexistentTimeError, to_utc

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AUTUMN = {
    "Europe/Berlin": datetime(2025, 10, 25, 20, tzinfo=UTC),
    "America/New_York": datetime(2025, 11, 2, 2, tzinfo=UTC),
    "America/St_Johns": datetime(2025, 11, 2, 0, tzinfo=UTC),
    "Pacific/Chatham": datetime(2025, 4, 5, 10, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2025, 4, 5, 10, tzinfo=UTC),  # by half an hour
    "Europe/Moscow": datetime(2014, 10, 25, 18, tzinfo=UTC),  # for good
    "Asia/Kolkata": datetime(2025, 4, 5, 10, tzinfo=UTC),  # never
}


def both(zone, start, step, rows):
    """Nanoseconds of UTC, and of the clock on the wall."""
    at = [start + step * i for i in range(rows)]
    wall = [one.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC) for one in at]
    return tuple(
        np.array([(one - EPOCH) // timedelta(microseconds=1) * 1_000 for one in them])
        for them in (at, wall)
    )


STEPS = [timedelta(seconds=seconds) for seconds in (0.1, 1, 900, 1_800, 3_600)]


# Of one row an hour in half an hour that repeats nothing tells which it is; and so many rows as ten
# a second gives are enough for one zone.
TOLD_APART = [
    (zone, step)
    for zone in AUTUMN
    for step in STEPS
    if (zone, step) != ("Australia/Lord_Howe", STEPS[-1])
    and (step >= timedelta(seconds=1) or zone == "Europe/Berlin")
]


@pytest.mark.parametrize(("zone", "step"), TOLD_APART, ids=str)
@pytest.mark.parametrize("turn", [1, -1], ids=["oldest first", "newest first"])
def test_the_hour_that_comes_twice_is_told_apart(zone, step, turn):
    utc, wall = both(zone, AUTUMN[zone], step, int(timedelta(hours=10) / step))

    found = to_utc(wall[::turn], zone, np.zeros(len(wall), np.int64))

    assert np.array_equal(found, utc[::turn])


def test_sensors_are_told_apart_in_it():
    utc, wall = both("Europe/Berlin", AUTUMN["Europe/Berlin"], timedelta(minutes=10), 60)

    found = to_utc(np.repeat(wall, 3), "Europe/Berlin", np.tile(np.arange(3), 60))

    assert np.array_equal(found, np.repeat(utc, 3))


def test_rows_out_of_order_by_a_second_move_no_hour():
    """They would be the largest step back in an hour that is recorded once."""
    utc, wall = both("Europe/Berlin", AUTUMN["Europe/Berlin"] + timedelta(hours=4), STEPS[1], 3_600)
    order = np.arange(3_600)
    order[100:102] = [101, 100]

    assert np.array_equal(to_utc(wall[order], "Europe/Berlin", np.zeros(3_600, int)), utc[order])


def test_an_hour_that_the_zone_skips_is_named():
    wall = np.array([1_774_751_400 * 10**9])  # 2026-03-29 02:30

    with pytest.raises(NonexistentTimeError, match="2026-03-29 02:30:00 does not exist in Eur"):
        to_utc(wall, "Europe/Berlin", np.zeros(1, int))


def test_utc_and_no_rows_stay_as_they_are():
    times = np.array([1, 2])

    assert to_utc(times, "UTC", times) is times
    assert len(to_utc(times[:0], "Europe/Berlin", times[:0])) == 0
