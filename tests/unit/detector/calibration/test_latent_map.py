"""The map of a latent space: principal axes in standard deviations, bit-equal row by row."""

import numpy as np
import pytest

from detector.calibration.latent_map import LatentMap

SIZE = 5
DEVIATIONS = np.array([0.1, 7.0, 0.2, 2.0, 0.3])


def latents(rows=3000, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, SIZE)) * DEVIATIONS + 3).astype(np.float32)


def test_its_axes_are_those_along_which_normal_windows_differ_most():
    found = LatentMap.fit(latents())

    assert np.abs(found.axes[0, 1]) > 0.99
    assert np.abs(found.axes[1, 3]) > 0.99
    assert found.deviation == pytest.approx([7, 2], rel=0.1)
    assert found.mean == pytest.approx(np.full(SIZE, 3), abs=0.5)


def test_the_signs_of_the_axes_do_not_depend_on_the_data_order():
    rows = latents()

    one, other = LatentMap.fit(rows), LatentMap.fit(rows[::-1].copy())

    assert (one.axes.max(axis=1) > 0.9).all()
    assert other.axes == pytest.approx(one.axes, abs=1e-6)


def test_normal_places_have_the_standard_deviation_one_around_zero():
    found = LatentMap.fit(latents())

    places = found.places(latents(seed=1))

    assert places.mean(axis=0) == pytest.approx([0, 0], abs=0.1)
    assert places.std(axis=0) == pytest.approx([1, 1], rel=0.1)


def test_a_fault_in_the_calibration_block_does_not_turn_the_axes():
    rows = latents()
    rows[-20:, 2] += 5000

    found = LatentMap.fit(rows)

    assert np.abs(found.axes[0, 1]) > 0.99
    assert found.places(rows[-1:]).shape == (1, 2)


def test_a_place_has_the_same_bits_in_whatever_company():
    found, rows = LatentMap.fit(latents()), latents(257, seed=2)
    rows[3] = np.nan

    whole = found.places(rows)

    for cut in (slice(0, 1), slice(5, 12), slice(250, 257), slice(None, None, -1)):
        assert np.array_equal(found.places(rows[cut]), whole[cut], equal_nan=True)
    assert np.isnan(whole[3]).all()
    assert np.isfinite(whole[4]).all()


def test_a_latent_space_of_one_number_has_a_second_axis_of_zeros():
    rows = latents()[:, 1:2]

    found = LatentMap.fit(rows)

    assert found.axes[1] == pytest.approx([0])
    assert (found.places(rows)[:, 1] == 0).all()


def test_a_latent_space_that_never_moved_has_a_map_of_one_place():
    rows = np.full((10, SIZE), 2.5, np.float32)

    assert (LatentMap.fit(rows).places(rows) == 0).all()


def test_two_windows_make_no_map():
    assert LatentMap.fit(latents(2)) is None


def test_it_comes_back_from_its_arrays():
    found = LatentMap.fit(latents())

    again = LatentMap.from_arrays(found.arrays(), SIZE)

    assert np.array_equal(again.places(latents()), found.places(latents()))
    assert LatentMap.from_arrays({}, SIZE) is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"axes": np.zeros((3, SIZE))}, "axes"),
        ({"deviation": np.array([1.0, 0.0])}, "greater than 0"),
        ({"mean": np.zeros(SIZE + 1)}, "latent numbers"),
        ({"mean": None}, "mean is missing"),
    ],
)
def test_arrays_that_do_not_fit_are_no_map(change, complaint):
    arrays = {**LatentMap.fit(latents()).arrays(), **change}
    arrays = {name: array for name, array in arrays.items() if array is not None}

    with pytest.raises(ValueError, match=complaint):
        LatentMap.from_arrays(arrays, SIZE)
