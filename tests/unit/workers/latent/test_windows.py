"""Which windows of a history are meant, and what is said where there are none."""

import numpy as np
import pytest

from tests.support.histories import history_of, rows_of
from tests.support.models import SECOND_NS, START_NS, quick_detector
from workers.latent.errors import LatentError
from workers.latent.windows import Place, all_windows, one_window, windows_at

SIZE = 8  # of `quick_detector`
FIRST = "2023-11-14T22:13:20Z"  # START_NS


@pytest.fixture(scope="module")
def detector():
    return quick_detector()


def at(second, sensor="s0"):
    return Place.parse(
        f"{sensor}@2023-11-14T22:{13 + (20 + second) // 60}:{(20 + second) % 60:02}Z"
    )


def test_a_time_means_the_window_that_ends_with_the_last_row_up_to_it(detector):
    one = rows_of("s0")

    found = one_window(history_of(rows_of("s1"), one), detector, at(20))
    between = one_window(history_of(one), detector, Place.parse("s0@2023-11-14T22:13:40.700Z"))

    assert np.array_equal(found.values[0], one.values[13:21])
    assert np.array_equal(found.ts_ns[0], one.ts_ns[13:21])
    assert (found.sensors, found.groups.tolist()) == (("s0",), [1])
    assert np.array_equal(between.values, found.values)


def test_a_stretch_means_every_window_that_ends_in_it_both_ends_included(detector):
    place = Place.parse("2023-11-14T22:13:40Z/2023-11-14T22:13:45Z")

    found = windows_at(history_of(rows_of("s0")), detector, place)

    assert ((found.ts_ns[:, -1] - START_NS) // SECOND_NS).tolist() == [20, 21, 22, 23, 24, 25]


def test_label_means_windows_whose_every_row_is_labelled_of_all_sensors_or_one(detector):
    history = history_of(
        rows_of("s0", labelled=slice(20, 30)),
        rows_of("s1", labelled=slice(40, 48)),
        rows_of("s2", labelled=slice(0, 7)),
    )

    found = windows_at(history, detector, Place.parse("label"))
    own = windows_at(history, detector, Place.parse("s1@label"))

    assert found.sensors == ("s0", "s0", "s0", "s1")
    assert ((found.ts_ns[:, 0] - START_NS) // SECOND_NS).tolist() == [20, 21, 22, 40]
    assert own.sensors == ("s1",)


def test_a_sensor_may_have_an_at_in_its_name(detector):
    history = history_of(rows_of("pump@hall"), rows_of("hall"))

    assert one_window(history, detector, at(20, "pump@hall")).sensors == ("pump@hall",)


def test_windows_with_missing_values_are_left_out_of_a_stretch(detector):
    place = Place.parse("2023-11-14T22:13:40Z/2023-11-14T22:13:45Z")

    found = windows_at(history_of(rows_of("s0", missing=13)), detector, place)

    assert ((found.ts_ns[:, -1] - START_NS) // SECOND_NS).tolist() == [21, 22, 23, 24, 25]


@pytest.mark.parametrize(
    ("place", "rows", "words"),
    [
        (at(20, "s9"), {}, "there is no sensor 's9'; there are 's0', 's1'"),
        (Place.parse(FIRST), {}, "of which sensor"),
        (at(5), {}, "fewer than 8 rows of s0 in a row lead up to that time"),
        (at(50), {"gap_after": 30}, "has no row at that time"),
        (
            Place.parse("s0@2023-11-14T23:13:53Z"),
            {"gap_after": 30},
            "fewer than 8 rows of s0 in a row",
        ),
        (Place.parse("s0@2020-01-01T00:00:00Z"), {}, "has no row at that time. Its rows are from"),
        (Place.parse("s0@2030-01-01T00:00:00Z"), {}, "to 2023-11-14T22:14:19Z"),
        (
            Place.parse("s0@2030-01-01T00:00:00Z/2031-01-01T00:00:00Z"),
            {},
            "no window of s0 ends in that time",
        ),
        (at(20), {"missing": 15}, "values are missing in the window, of 'pressure'"),
        (Place.parse("label"), {}, "name its column with --label"),
        (Place.parse("s0@label"), {"labelled": slice(3, 8)}, "5 rows are labelled, and nowhere 8"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(detector, place, rows, words):
    history = history_of(rows_of("s0", **rows), rows_of("s1"))

    with pytest.raises(LatentError) as found:
        windows_at(history, detector, place)

    assert words in str(found.value)


def test_several_windows_are_no_single_one(detector):
    place = Place.parse("s0@2023-11-14T22:13:40Z/2023-11-14T22:13:45Z")

    with pytest.raises(LatentError, match="means 6 windows"):
        one_window(history_of(rows_of("s0")), detector, place)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "names no windows"),
        ("s0@", "names no windows"),
        ("s0@2023-11-14T22:13:40Z/2023-11-14T22:13:30Z", "ends before it begins"),
    ],
)
def test_a_place_that_cannot_be_read_is_rejected(text, words):
    with pytest.raises(ValueError, match=words):
        Place.parse(text)


def test_all_windows_are_evenly_picked_and_none_spans_a_gap(detector):
    history = history_of(rows_of("s0", gap_after=29), rows_of("s1"))

    every = all_windows(history, detector, limit=1000)
    some = all_windows(history, detector, limit=33)

    assert every.sensors.count("s0") == 2 * (30 - SIZE + 1)
    assert every.sensors.count("s1") == 60 - SIZE + 1
    assert (np.diff(every.ts_ns, axis=1) == SECOND_NS).all()
    assert len(some) == 33
    assert set(np.diff(some.ts_ns[np.array(some.sensors) == "s1", -1]) // SECOND_NS) == {3}


def test_a_history_without_a_window_is_rejected_with_how_many_rows_it_needs(detector):
    with pytest.raises(LatentError, match="no sensor has 8 rows in a row"):
        all_windows(history_of(rows_of("s0", rows=7)), detector, limit=10)
