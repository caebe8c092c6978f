import numpy as np
import pytest

from detector.signal.noise import noise_level
from detector.signal.scaler import CLIP, ChannelScaler, fit_row, shared_scale
from tests.support.fleets import SHAPE_ERRORS


def make_rows(n=2000, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 2)) * [1.0, 50.0] + [0.0, 1000.0]


def test_scaled_rows_are_centred_with_unit_spread():
    rows = make_rows()
    center, scale = fit_row(rows)

    scaled = ChannelScaler(center=center[None], scale=scale[None]).apply(rows, np.array(0))

    assert np.abs(np.median(scaled, axis=0)).max() < 1e-9
    assert np.allclose(scaled.std(axis=0), 1.0, atol=0.1)


def test_a_few_outliers_do_not_move_the_scale():
    rows = make_rows()
    spoilt = rows.copy()
    spoilt[::1000] = 1e12

    clean, dirty = fit_row(rows), fit_row(spoilt)

    assert np.allclose(dirty[0], clean[0], rtol=0.01, atol=0.01)
    assert np.allclose(dirty[1], clean[1], rtol=0.05)


@pytest.mark.parametrize("value", [0.0, 5.0, -3e6, 1e-9])
def test_a_constant_channel_gets_a_scale_that_shows_a_change_and_hides_rounding(value):
    center, scale = fit_row(np.full((100, 1), value))

    assert center[0] == value
    assert scale[0] == 0.1 * max(abs(value), 1.0)


def test_a_channel_without_any_value_has_a_neutral_scale():
    center, scale = fit_row(np.full((10, 1), np.nan))

    assert (center[0], scale[0]) == (0.0, 1.0)


def test_a_machine_that_mostly_stands_still_keeps_a_unit_for_its_runs():
    rows = np.zeros((1000, 1))
    rows[::20] = 80.0

    _, scale = fit_row(rows)

    assert scale[0] == pytest.approx(8.0)


def test_a_small_spread_on_a_large_level_keeps_its_digits():
    rows = 1e9 + np.random.default_rng(0).standard_normal((500, 1)) * 1e4
    scaling = ChannelScaler(center=np.array([[1e9]]), scale=np.array([[1e4]]))

    scaled = scaling.apply(rows, np.array(0))

    assert np.abs(scaled * 1e4 + 1e9 - rows).max() < 1e-6


def test_rows_are_scaled_by_their_own_group():
    scaling = ChannelScaler(center=np.array([[0.0], [10.0]]), scale=np.array([[1.0], [2.0]]))

    scaled = scaling.apply(np.array([[4.0], [14.0]]), np.array([0, 1]))

    assert scaled[:, 0].tolist() == [4.0, 2.0]


def test_absurd_values_are_cut_and_missing_ones_stay_missing():
    scaling = ChannelScaler(center=np.zeros((1, 1)), scale=np.ones((1, 1)))

    scaled = scaling.apply(np.array([[1e30], [-1e30], [np.nan]]), np.array(0))[:, 0]

    assert scaled[:2].tolist() == [CLIP, -CLIP]
    assert np.isnan(scaled[2])


@pytest.mark.parametrize(
    ("center", "scale"),
    [([[np.nan]], [[1.0]]), ([[0.0]], [[0.0]]), ([[0.0]], [[-1.0]])],
)
def test_a_scaler_that_cannot_scale_is_rejected(center, scale):
    with pytest.raises(ValueError, match="center must be finite"):
        ChannelScaler(center=np.array(center), scale=np.array(scale))


def test_a_centre_without_its_scale_is_rejected():
    with pytest.raises(SHAPE_ERRORS):
        ChannelScaler(center=np.zeros((1, 2)), scale=np.ones((1, 1)))


def test_sensors_of_one_kind_share_a_scale_and_an_odd_one_keeps_near_its_own():
    own = np.array([[1.0], [1.2], [0.8], [100.0], [0.001]])

    shared = shared_scale(own)[:, 0]

    assert shared[:3].tolist() == [1.0, 1.0, 1.0]
    assert shared[3:].tolist() == [25.0, 0.004]


@pytest.mark.parametrize("sigma", [0.01, 1.0, 30.0])
def test_the_noise_level_is_found_on_a_moving_signal(sigma):
    time = np.arange(5000)
    signal = 100 * np.sin(time / 40) + 20 * (time > 2500)
    noisy = signal + sigma * np.random.default_rng(0).standard_normal(len(time))

    assert noise_level(noisy[:, None])[0] == pytest.approx(sigma, rel=0.1)


def test_a_clean_signal_has_next_to_no_noise_even_when_it_is_fast():
    fast = np.sin(2 * np.pi * np.arange(3000) / 12)

    assert noise_level(fast[:, None])[0] < 0.02


def test_spikes_steps_and_gaps_are_not_noise():
    rng = np.random.default_rng(0)
    column = rng.standard_normal(3000)
    column[::150] += 1000
    column[1000:] += 50
    column[2000:2200] = np.nan

    assert noise_level(column[:, None])[0] == pytest.approx(1.0, rel=0.15)


@pytest.mark.parametrize("column", [np.full(100, 3.0), np.full(100, np.nan), np.arange(5.0)])
def test_where_noise_cannot_be_seen_it_is_taken_as_zero(column):
    assert noise_level(column[:, None])[0] == pytest.approx(0.0, abs=1e-12)
