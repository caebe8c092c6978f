import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detector.signal.noise import noise_level
from detector.signal.scaler import (
    CLIP,
    ChannelScaler,
    fit_moments,
    fit_row,
    gross,
    shared_scale,
)
from tests.support import naive
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


ROWS = arrays(
    np.float64,
    st.tuples(st.integers(0, 12), st.just(3)),
    elements=st.one_of(
        st.floats(-1e4, 1e4), st.sampled_from([np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0])
    ),
)


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 99), own=st.sampled_from(["one group", "own groups"]))
def test_scaled_rows_are_those_of_the_twin(rows, seed, own):
    """To the bit: the same float64 operations, one value at a time."""
    rng = np.random.default_rng(seed)
    center, scale = rng.normal(size=(2, 3)) * 100, 10.0 ** rng.uniform(-6, 4, (2, 3))
    groups = rng.integers(2, size=len(rows)) if own == "own groups" else np.array(1)

    found, present = ChannelScaler(center=center, scale=scale).scaled(rows, groups)
    expected, there = naive.scaled(rows, np.broadcast_to(groups, len(rows)), center, scale, CLIP)

    assert np.array_equal(found, expected)
    assert np.array_equal(np.ones(rows.shape, bool) if present is None else present, there)
    assert (present is None) == bool(there.all())


def test_rows_that_do_not_lie_one_behind_the_other_are_scaled_alike():
    """Every second row, columns first: as a caller's array may come."""
    rows = np.asfortranarray(np.random.default_rng(0).normal(size=(40, 2)))[::2]
    scaler = ChannelScaler(center=np.ones((1, 2)), scale=np.full((1, 2), 3.0))

    found, _ = scaler.scaled(rows, np.array(0))

    assert np.array_equal(found, scaler.apply(rows, np.array(0)).astype(np.float32))


class TestMoments:
    def test_they_are_mean_and_standard_deviation(self):
        rows = make_rows()

        center, scale = fit_moments(rows)

        assert np.allclose(center, rows.mean(0))
        assert np.allclose(scale, rows.std(0))

    def test_a_spike_now_and_then_belongs_to_the_unit(self):
        rows = np.zeros((1000, 1))
        rows[::100] = 80.0

        assert fit_moments(rows)[1][0] == pytest.approx(8.0)

    def test_the_unit_does_not_grow_with_the_length_of_the_history(self):
        """One excursion in ten stretches is cut to what the others show."""
        rows = np.random.default_rng(0).uniform(-1, 1, (60_000, 1))
        spoilt = rows.copy()
        spoilt[30_000:30_100] = 50.0

        assert fit_moments(spoilt)[1][0] == pytest.approx(fit_moments(rows)[1][0], rel=0.01)

    @pytest.mark.parametrize("value", [0.0, 5.0, -3e6, 1e-9, 1e150])
    def test_a_constant_channel_gets_a_tenth_of_its_magnitude(self, value):
        center, scale = fit_moments(np.full((100, 1), value))

        assert center[0] == pytest.approx(value)
        assert scale[0] == pytest.approx(0.1 * max(abs(value), 1.0))

    def test_a_channel_without_any_value_has_a_neutral_scale(self):
        assert [one[0] for one in fit_moments(np.full((10, 1), np.nan))] == [0.0, 1.0]


class TestGrossValues:
    """Sentinels are no measurements; a fault of ordinary size, a command, a step are."""

    @pytest.mark.parametrize("place", [0, 150, 399, 400, 777, 950, 999])
    @pytest.mark.parametrize("value", [-9999.0, 1e30])
    def test_a_sentinel_is_found_wherever_it_stands(self, place, value):
        values = make_rows(1000)[:, 0]
        values[place] = value

        assert np.flatnonzero(gross(values)).tolist() == [place]

    def test_a_sentinel_for_a_tenth_of_the_history_is_found(self):
        values = make_rows(1000)[:, 0]
        values[700:800] = -9999.0

        assert np.flatnonzero(gross(values)).tolist() == list(range(700, 800))

    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize("every", [100, 333, 499])
    def test_a_sentinel_that_comes_back_all_the_time_is_found(self, every, sign):
        values = make_rows(1000)[:, 0]
        values[1::every] = -9999.0

        assert (np.flatnonzero(gross(sign * values)) % every == 1).all()
        assert gross(sign * values).sum() == len(values[1::every])

    def test_spikes_of_many_sizes_are_kept(self):
        values = make_rows(1000)[:, 0]
        values[1::100] = np.geomspace(100, 500, 10)

        assert not gross(values).any()

    def test_a_rare_command_beside_others_is_kept(self):
        values = np.arange(1000) % 3.0
        values[1::250] = 100.0

        assert not gross(values).any()

    def test_a_fault_of_ordinary_size_is_kept(self):
        values = make_rows(1000)[:, 0]
        values[500:520] += 15 * values.std()

        assert not gross(values).any()

    @pytest.mark.parametrize("places", [[5], [500], range(0, 1000, 7), range(600, 1000)])
    def test_a_binary_command_is_kept_however_rare(self, places):
        values = np.zeros(1000)
        values[list(places)] = 1.0

        assert not gross(values).any()

    def test_a_sensor_that_is_moved_to_another_range_is_kept(self):
        values = np.concatenate([np.random.default_rng(0).uniform(0, 1, 700), np.full(300, 500.0)])

        assert not gross(values).any()

    @pytest.mark.parametrize("values", [[3.0], [3.0, 4.0], [np.pi] * 50])
    def test_a_short_or_constant_channel_has_none(self, values):
        assert not gross(np.array(values)).any()

    @settings(max_examples=50, deadline=None)
    @given(values=arrays(np.float64, st.integers(1, 32), elements=st.floats(-1e6, 1e6)))
    def test_it_is_as_the_twin_finds_it_and_a_mirrored_channel_has_the_same(self, values):
        """Of so few numbers, none is held for a sentinel because it comes back."""
        parts = [part.tolist() for part in np.array_split(values, 10) if len(part)]
        lows, highs = sorted(min(part) for part in parts), sorted(max(part) for part in parts)
        low, high = (lows[1], highs[-2]) if len(parts) > 1 else (lows[0], highs[0])
        usual = high - low if high > low else 0.1 * max(abs(float(np.median(values))), 1.0)
        expected = [v > high + 10 * usual or v < low - 10 * usual for v in values.tolist()]
        if sum(expected) > 2:  # so many that differ are a mode of their own
            expected = [False] * len(expected)

        assert gross(values).tolist() == expected
        assert gross(-values).tolist() == expected
