"""What is alike: within both radii, by the channels that stand out and the state of the machine."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.calibration.likeness import (
    LEAST_RADIUS,
    MOST_PROFILE,
    Likeness,
    ScoredRows,
    exceedances,
    profile_distances,
)

LIKENESS = Likeness(
    latent_scale=np.array([[1.0, 1.0], [2.0, 0.5]]), radius_profile=0.4, radius_latent=1.0
)
SEEDS = st.integers(0, 2**32 - 1)


def shares(rng, *shape):
    raw = rng.gamma(0.3, size=shape) + 1e-9
    return raw / raw.sum(axis=-1, keepdims=True)


def twin(profile, latent, profiles, latents, scale):
    """Loops: every remembered one, its two distances, the nearest within both radii."""
    best, found = 1.0, None
    for place, (other, vector) in enumerate(zip(profiles, latents, strict=True)):
        apart = sum(abs(a - b) for a, b in zip(profile, other, strict=True)) / 2
        squares = [((a - b) / s) ** 2 for a, b, s in zip(latent, vector, scale, strict=True)]
        far = max(
            apart / LIKENESS.radius_profile,
            math.sqrt(sum(squares) / len(squares)) / LIKENESS.radius_latent,
        )
        if far <= 1 and (found is None or far < best):
            best, found = far, place
    return found


@settings(max_examples=200, deadline=None)
@given(seed=SEEDS, remembered=st.integers(0, 6), group=st.integers(0, 1))
def test_alike_is_the_nearest_within_both_radii_as_the_twin_finds_it(seed, remembered, group):
    rng = np.random.default_rng(seed)
    profile, profiles = shares(rng, 4), shares(rng, remembered, 4)
    latent, latents = rng.normal(size=2), rng.normal(size=(remembered, 2))

    found = LIKENESS.alike(profile, latent, profiles, latents, group)

    assert found == twin(profile, latent, profiles, latents, LIKENESS.latent_scale[group])


@settings(max_examples=200, deadline=None)
@given(seed=SEEDS, kept=st.integers(1, 5))
def test_a_profile_of_its_largest_shares_is_no_farther_than_the_whole_one(seed, kept):
    rng = np.random.default_rng(seed)
    profile, whole = shares(rng, 5), shares(rng, 5)
    cut = np.where(whole >= np.sort(whole)[-kept], whole, 0.0)

    of_whole, of_cut, of_itself = profile_distances(
        profile, np.stack([whole, cut, np.where(cut > 0, profile, 0.0)])
    )

    assert of_whole == pytest.approx(np.abs(profile - whole).sum() / 2)
    assert of_cut <= of_whole + 1e-12
    assert of_itself == pytest.approx(0, abs=1e-12)


def test_a_missing_share_may_lie_in_any_channel_that_is_nothing_but_in_no_other():
    profile = np.array([0.7, 0.1, 0.2, 0.0])

    near, far = profile_distances(profile, np.array([[0.7, 0, 0, 0], [0, 0, 0, 0.7]]))

    assert near == pytest.approx(0)
    assert far == pytest.approx(0.7)


def test_of_several_at_one_distance_the_first_is_named():
    profile, latent = np.array([1.0, 0.0]), np.zeros(2)

    found = LIKENESS.alike(profile, latent, np.tile(profile, (3, 1)), np.zeros((3, 2)), 0)

    assert found == 0


def test_each_radius_alone_keeps_others_out():
    profile, latent = np.array([1.0, 0.0]), np.zeros(2)

    def alike(other, vector):
        return LIKENESS.alike(profile, latent, np.array([other]), np.array([vector]), 0)

    assert alike([0.7, 0.3], [0.9, -0.9]) == 0
    assert alike([0.5, 0.5], [0.0, 0.0]) is None
    assert alike([1.0, 0.0], [1.1, 1.1]) is None


def test_a_latent_vector_without_a_number_is_like_none_and_hides_no_other():
    profile, latent = np.array([1.0, 0.0]), np.zeros(2)
    profiles = np.tile(profile, (3, 1))

    for bad in (np.nan, np.inf):
        latents = np.array([[bad, 0], [0, bad], [0, 0]], dtype=np.float32)
        assert LIKENESS.alike(profile, latent, profiles, latents, 0) == 2
        assert LIKENESS.alike(profile, np.array([bad, 0]), profiles, latents, 0) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"radius_profile": 0.0},
        {"radius_profile": 1.1},
        {"radius_latent": 0.0},
        {"radius_latent": math.inf},
        {"radius_latent": math.nan},
        {"latent_scale": np.array([[1.0, 0.0]])},
        {"latent_scale": np.array([[1.0, math.nan]])},
    ],
)
def test_numbers_out_of_range_are_rejected(changes):
    with pytest.raises(ValueError, match="greater than 0"):
        replace(LIKENESS, **changes)


def test_arrays_lead_back_to_it_and_no_arrays_to_none():
    back = Likeness.from_arrays(LIKENESS.arrays(), (2, 2))

    assert back is not None
    assert np.array_equal(back.latent_scale, LIKENESS.latent_scale)
    assert back.radii == LIKENESS.radii
    assert Likeness.from_arrays({}, (2, 2)) is None


def test_arrays_that_are_missing_or_of_another_shape_are_rejected():
    arrays = LIKENESS.arrays()

    for name in arrays:
        with pytest.raises(ValueError, match="likeness needs latent_scale"):
            Likeness.from_arrays({k: v for k, v in arrays.items() if k != name}, (2, 2))
    with pytest.raises(ValueError, match=r"needs latent_scale \(3, 2\)"):
        Likeness.from_arrays(arrays, (3, 2))


def history(n=1000, group=1, step=1):
    """Two exceedances of two readings each, whose readings differ by known distances."""
    level, latent = np.zeros(n), np.tile([[-1.0, -1.0], [1.0, 1.0]], (n // 2, 1))
    profile = np.tile([[1.0, 0.0]], (n, 1))
    for at, apart in ((200, 0.1), (600, 0.3)):
        level[at : at + 2] = [9.0, 8.0]
        profile[at + 1] = [1 - apart, apart]
        latent[at : at + 2] = [[0, 0], [apart, apart]]
    return ScoredRows(
        group=group,
        places=np.arange(n, dtype=np.int64) * step,
        level=level,
        profile=profile.astype(np.float32),
        latent=latent.astype(np.float32),
    )


def test_the_radii_are_what_readings_of_one_exceedance_keep_from_its_highest():
    likeness = Likeness.fit([history()], np.ones((9, 2), np.float32), n_groups=2)

    assert likeness is not None
    assert likeness.radius_profile == pytest.approx(np.quantile([0.1, 0.3], 0.9), abs=1e-6)
    assert likeness.radius_latent == pytest.approx(np.quantile([0.1, 0.3], 0.9), rel=0.01)


def test_a_group_has_scales_of_its_own_and_a_new_sensor_the_pooled_ones():
    pooled = np.array([[-3.0, 0.0], [3.0, 0.0]] * 40, dtype=np.float32)

    likeness = Likeness.fit([history()], pooled, n_groups=3)

    assert likeness is not None
    assert likeness.latent_scale[1] == pytest.approx([1.0, 1.0], rel=0.01)
    assert np.array_equal(likeness.latent_scale[0], likeness.latent_scale[2])
    assert likeness.latent_scale[0, 0] == 3
    assert 0 < likeness.latent_scale[0, 1] < 0.1  # it never moved


def test_radii_are_neither_nothing_nor_more_than_half_of_the_shares():
    rows = history()
    still = replace(
        rows, profile=np.ones((1000, 1), np.float32), latent=rows.latent[:1] + 0 * rows.latent
    )
    torn = replace(rows, profile=np.eye(2, dtype=np.float32)[np.arange(1000) % 2])

    least, most = (
        Likeness.fit([one], np.zeros((9, 2), np.float32), n_groups=2) for one in (still, torn)
    )

    assert least is not None
    assert least.radii == {"profile": LEAST_RADIUS, "latent": LEAST_RADIUS}
    assert most is not None
    assert most.radius_profile == MOST_PROFILE


@pytest.mark.parametrize(
    "rows",
    [history(step=17), replace(history(), level=np.full(1000, np.nan))],
    ids=["no two readings near each other", "no level known"],
)
def test_without_two_readings_of_one_exceedance_nothing_is_alike(rows):
    assert Likeness.fit([rows], np.ones((9, 2), np.float32), n_groups=2) is None


def test_exceedances_are_cut_where_readings_between_them_are_many():
    level = np.zeros(100)
    level[[10, 20, 60]] = 1.0

    found = exceedances(level, np.arange(100), 0.05)

    assert [cluster.tolist() for cluster in found] == [[10, 20], [60]]
