import numpy as np
import pytest

from detector.calibration.alarm_numbers import AlarmNumbers


def normal_levels(rows, seed=0, centre=0.0, scale=1.0):
    """Levels as telemetry has them: slow, with a tail to the right."""
    rng = np.random.default_rng(seed)
    slow = np.convolve(rng.standard_normal(rows + 15), np.ones(16) / 4, "valid")
    return centre + scale * np.stack([np.exp(slow / 2), np.exp(slow / 3)], axis=1)


def three_blocks(rows):
    return np.repeat([0, 1, 2], rows // 3)


def fit(*sensors, blocks=three_blocks):
    return AlarmNumbers.fit(
        np.concatenate(sensors),
        np.repeat(np.arange(1, len(sensors) + 1), [len(one) for one in sensors]),
        np.concatenate([blocks(len(one)) for one in sensors]),
        n_groups=len(sensors) + 1,
    )


def test_numbers_follow_shift_and_scale_of_the_levels():
    levels = normal_levels(60_000)

    plain, moved = fit(levels), fit(5.0 + 2.0 * levels)

    np.testing.assert_allclose(moved.centre, 5.0 + 2.0 * plain.centre, rtol=1e-6)
    np.testing.assert_allclose(moved.spread, 2.0 * plain.spread, rtol=1e-6)
    np.testing.assert_allclose(moved.slope, plain.slope, rtol=1e-6)
    np.testing.assert_allclose(moved.clusters, plain.clusters, rtol=1e-6)


def test_one_bad_block_of_nine_moves_nothing():
    levels = normal_levels(9_000)
    bad = levels.copy()
    bad[2_000:3_000] += 50.0

    def nine(rows):
        return np.repeat(np.arange(9), rows // 9)

    clean, dirty = fit(levels, blocks=nine), fit(bad, blocks=nine)

    np.testing.assert_allclose(dirty.centre, clean.centre, rtol=0.3)
    np.testing.assert_allclose(dirty.spread, clean.spread, rtol=0.3)
    np.testing.assert_allclose(dirty.slope, clean.slope, rtol=0.3)
    np.testing.assert_allclose(dirty.bars(1e-4), clean.bars(1e-4), rtol=0.3)


def test_a_short_fault_in_the_last_fifth_neither_deafens_nor_blinds():
    """It ruins its block's tail, and of the other two the higher one is left: a fifth here."""
    levels = normal_levels(6_000)
    faulty = levels.copy()
    faulty[5_000:5_020] += 40.0

    np.testing.assert_allclose(fit(faulty).bars(1e-5), fit(levels).bars(1e-5), rtol=0.25)


def test_a_sensor_with_little_history_leans_on_the_pooled_group():
    many = [normal_levels(6_000, seed) for seed in range(6)]
    short = normal_levels(90, 7, scale=5.0)
    long = normal_levels(60_000, 8, scale=5.0)

    with_short, with_long = fit(*many, short), fit(*many, long)

    pooled = with_short.spread[0, 0]
    assert with_short.spread[7, 0] / pooled < 1.6
    assert with_long.spread[7, 0] / with_long.spread[0, 0] > 3.0


def test_the_only_sensor_has_the_pooled_numbers():
    numbers = fit(normal_levels(900))

    np.testing.assert_array_equal(numbers.centre[0], numbers.centre[1])
    np.testing.assert_array_equal(numbers.slope[0], numbers.slope[1])


def test_a_group_without_rows_has_the_pooled_numbers():
    levels = normal_levels(900)
    numbers = AlarmNumbers.fit(
        np.concatenate([levels, levels]),
        np.repeat([1, 3], 900),
        np.tile(three_blocks(900), 2),
        n_groups=4,
    )

    np.testing.assert_array_equal(numbers.spread[2], numbers.spread[0])
    assert numbers.memory[2] == numbers.memory[0]


def test_a_rarer_budget_asks_for_a_higher_bar():
    numbers = fit(normal_levels(9_000))

    low, high = numbers.bars(1e-4), numbers.bars(1e-7)

    np.testing.assert_allclose(high - low, numbers.slope * np.log(1e3), rtol=1e-9)


def test_rows_without_levels_are_left_out():
    levels = normal_levels(900)
    holed = np.concatenate([np.full((50, 2), np.nan), levels])
    blocks = np.concatenate([np.zeros(50, int), three_blocks(900)])

    numbers = AlarmNumbers.fit(holed, np.ones(950, int), blocks, n_groups=2)

    np.testing.assert_array_equal(numbers.centre, fit(levels).centre)


def test_no_levels_at_all_are_an_error():
    with pytest.raises(ValueError, match="none is finite"):
        AlarmNumbers.fit(np.full((9, 2), np.nan), np.ones(9, int), np.zeros(9, int), n_groups=2)


def test_constant_levels_give_finite_numbers():
    numbers = fit(np.zeros((900, 2)))

    assert np.isfinite(numbers.bars(1e-4)).all()
    assert (numbers.spread > 0).all()


def test_numbers_survive_being_stored():
    numbers = fit(normal_levels(900), normal_levels(600, 1))

    again = AlarmNumbers.from_arrays(numbers.arrays())

    for name, array in numbers.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("centre", np.zeros((2, 3)), r"centre must be \(2, 2\)"),
        ("spread", np.zeros((2, 2)), "spread must be greater than 0"),
        ("slope", np.full((2, 2), np.nan), "slope is not finite"),
        ("memory", np.zeros(0), r"must be \(0, 2\)"),
    ],
)
def test_stored_numbers_that_do_not_fit_are_rejected(name, array, message):
    arrays = fit(normal_levels(900)).arrays()

    with pytest.raises(ValueError, match=message):
        AlarmNumbers.from_arrays({**arrays, name: array})


def test_a_missing_number_is_named():
    arrays = fit(normal_levels(900)).arrays()
    del arrays["clusters"]

    with pytest.raises(ValueError, match="lacks clusters"):
        AlarmNumbers.from_arrays(arrays)
