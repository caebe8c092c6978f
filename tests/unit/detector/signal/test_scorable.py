"""A sensor without a window is told why, in numbers."""

import numpy as np
import pytest

from detector.signal.scorable import Obstacle, Unscorable, unscorable
from detector.signal.series import Series
from detector.training.train import train
from tests.support.fleets import make_config, make_fleet, make_series

SECOND_NS = 10**9


def reason(ts_s, *, receptive_field=8, max_gap_s=10):
    times = (np.asarray(ts_s) * SECOND_NS).astype(np.int64)
    return unscorable(
        "a",
        [times],
        receptive_field=receptive_field,
        max_gap_ns=max_gap_s * SECOND_NS,
        needed=receptive_field,
    )


def test_a_window_without_a_gap_is_scorable():
    assert reason(np.arange(8)) is None
    assert reason(np.r_[0:5, 100:108]) is None


@pytest.mark.parametrize(
    ("ts_s", "obstacle", "words"),
    [
        (np.arange(50) * 60, Obstacle.LONG_STEPS, "its steps of 60 s are longer than the gap"),
        (np.arange(7), Obstacle.FEW_READINGS, "7 readings, at least 8 are needed"),
        ([], Obstacle.FEW_READINGS, "0 readings"),
        (np.r_[0:5, 100:105, 200:207], Obstacle.GAPS, "at most 7 of its 17"),
    ],
)
def test_the_reason_is_the_first_that_holds(ts_s, obstacle, words):
    found = reason(ts_s)

    assert found is not None
    assert found.obstacle is obstacle
    assert words in str(found)


def test_a_window_may_not_reach_from_one_piece_into_the_next():
    pieces = [np.arange(5) * SECOND_NS, np.arange(5, 10) * SECOND_NS]

    found = unscorable("a", pieces, receptive_field=8, max_gap_ns=10 * SECOND_NS, needed=80)

    assert found is not None
    assert (found.readings, found.longest) == (10, 5)


def test_a_summary_gives_it_back():
    found = reason(np.arange(3))

    assert found is not None
    assert Unscorable.of(found.summary()) == found


def test_a_sensor_of_another_rate_is_named_by_the_training_and_not_counted():
    fast, slow = make_fleet(rows=600).series()
    slow = Series(sensor="slow", ts_ns=slow.ts_ns[:100] * 60, values=slow.values[:100])

    training = train([fast, slow], make_config(max_steps=20)).identity.training

    assert (training["rows"], training["sensors"]) == (600, 1)
    (one,) = training["not_learned"]
    assert one["sensor"] == "slow"
    assert one["reason"] == "its steps of 60 s are longer than the gap of 10 s"


def test_when_no_sensor_can_be_trained_the_error_names_them():
    fleet = make_fleet(rows=20)

    with pytest.raises(ValueError, match=r"sensor 's0': 20 readings, at least 160 are needed"):
        train(fleet.series(), make_config())


def test_readings_in_falling_order_are_told():
    values = make_fleet(sensors=1, rows=100).noisy[0]
    falling = Series(
        sensor="a", ts_ns=np.arange(100, dtype=np.int64)[::-1].copy() * SECOND_NS, values=values
    )

    with pytest.raises(ValueError, match="sensor 'a' has 100 readings, 1 in order"):
        train([falling], make_config())


def test_no_series_at_all_is_told():
    with pytest.raises(ValueError, match="no sensor"):
        train([], make_config())


def test_a_sensor_that_has_no_row_left_is_named():
    (fast,) = make_fleet(sensors=1, rows=600).series()
    empty = make_series(np.zeros((0, 4)), sensor="gone")

    training = train([fast, empty], make_config(max_steps=20)).identity.training

    assert [one["sensor"] for one in training["not_learned"]] == ["gone"]
