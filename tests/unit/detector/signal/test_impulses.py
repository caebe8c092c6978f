"""Single rows that leap away: where they are a channel's noise, and where they are not."""

import numpy as np
import pytest

from detector.signal.impulses import NONE, Impulses


def readings(rows=6_000, channels=2, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, channels)).astype(np.float32)


def leaping(rows, places, size, channel=0):
    rows[places, channel] += np.broadcast_to(size, len(places))
    return rows


PLACES = np.arange(50, 5_900, 97)
BOTH_SIDES = np.where(np.arange(len(PLACES)) % 2, 15.0, -15.0)


def impulsive(*pieces):
    return (Impulses.fit(pieces).limit < NONE).tolist()


def test_leaps_to_both_sides_of_one_channel_are_noise():
    assert impulsive(leaping(readings(), PLACES, BOTH_SIDES)) == [True, False]


def test_normal_noise_is_none_however_long_the_history():
    assert impulsive(readings(200_000)) == [False, False]


def test_leaps_to_one_side_alone_may_be_the_signal():
    assert impulsive(leaping(readings(), PLACES, 15.0)) == [False, False]


def test_what_leaps_together_is_the_signal():
    rows = leaping(readings(), PLACES, BOTH_SIDES)

    assert impulsive(leaping(rows, PLACES, BOTH_SIDES, channel=1)) == [False, False]


def test_what_stays_where_it_leapt_is_the_signal():
    rows = readings()
    rows[:, 0] += 15.0 * (np.arange(len(rows)) // 97 % 2)

    assert impulsive(rows) == [False, False]


def test_a_few_leaps_are_faults():
    assert impulsive(leaping(readings(), PLACES[:7], BOTH_SIDES[:7])) == [False, False]


def test_a_channel_that_stands_still_or_has_no_value_is_none():
    rows = readings()
    rows[:, 0], rows[:, 1] = 1.0, np.nan

    assert impulsive(rows) == [False, False]


def one_of(limit=4.0):
    return Impulses(
        limit=np.array([limit, NONE], dtype=np.float32), most=np.array([20, 0], dtype=np.float32)
    )


def test_an_impulse_is_found_and_a_step_is_believed_after_two_rows():
    rows = 0.1 * readings(100)
    rows[40, 0] += 15.0
    rows[70:, 0] += 15.0

    found = one_of().found(rows)

    assert np.flatnonzero(found[:, 0]).tolist() == [40, 70, 71]
    assert not found[:, 1].any()


def test_it_is_one_that_is_far_from_the_median_of_the_five_rows_that_end_with_it():
    rows = readings(600)
    rows[np.random.default_rng(1).random(rows.shape) < 0.3] = np.nan
    away = np.full(len(rows), np.nan)
    for row in np.flatnonzero(np.isfinite(rows[:, 0])):
        away[row] = abs(rows[row, 0] - np.nanmedian(rows[max(row - 4, 0) : row + 1, 0]))

    found = one_of(1.5).found(rows)

    assert found[:, 0].sum() > 10
    assert (found[:, 0] == (away > 1.5)).all()


def test_the_rows_of_its_margin_say_whether_it_is_one():
    rows = readings(300)
    rows[::7] += 5.0
    rows[np.random.default_rng(1).random(rows.shape) < 0.3] = np.nan

    whole = one_of(1.0).found(rows)

    margin = one_of(1.0).margin
    for row in range(margin, 300, 11):
        assert (one_of(1.0).found(rows[row - margin : row + 1])[-1] == whole[row]).all()


def test_what_leaps_again_and_again_is_the_signal():
    rows = 0.1 * readings(100)
    rows[40::2, 0] += 15.0

    found = one_of().found(rows)

    assert found[40:46, 0].any()
    assert not found[50:, 0].any()


def test_without_impulsive_channels_nothing_is_looked_for():
    assert Impulses.none(2).found(readings(10)) is None


def test_a_leap_farther_than_any_of_the_history_is_a_reading():
    rows = 0.1 * readings(100)
    rows[40, 0], rows[60, 0] = 15.0, 200.0

    assert np.flatnonzero(one_of().found(rows)[:, 0]).tolist() == [40]
    history = 0.1 * readings(2000)
    history[20::40, 0] += np.resize([8.0, -8.0], 50)
    assert 10 < Impulses.fit([history]).most[0] < 14


@pytest.mark.filterwarnings("error")
def test_a_missing_value_is_no_impulse():
    assert not one_of().found(np.full((10, 2), np.nan, dtype=np.float32)).any()
