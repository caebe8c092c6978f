"""The 4-norm of features, against its slow twin."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.signal.norm import Units, added
from tests.support import naive

CPU = torch.device("cpu")


def make_units(seed, features=5, groups=3, channels=4):
    rng = np.random.default_rng(seed)
    shape = (features, groups, channels)
    return Units(
        middle=rng.uniform(0, 2, shape).astype(np.float32),
        reach=rng.uniform(0.02, 3, shape).astype(np.float32),
    )


def make_features(seed, n, features=5, channels=4):
    rng = np.random.default_rng(seed)
    return (10.0 ** rng.uniform(-3, 3, (features, n, channels))).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    features=st.sampled_from([1, 5]),
    channels=st.sampled_from([1, 4, 11]),
)
def test_parts_and_norms_are_those_of_the_twin(seed, n, features, channels):
    units = make_units(seed, features, 3, channels)
    values = make_features(seed, n, features, channels)
    groups = np.random.default_rng(seed).integers(3, size=n)

    parts = units.on(CPU).fourth_powers(torch.from_numpy(values.copy()), torch.from_numpy(groups))

    for window, group in enumerate(groups):
        found = naive.fourth_powers(
            values[:, window], units.middle[:, group], units.reach[:, group]
        )
        np.testing.assert_allclose(parts[window].numpy(), found, rtol=1e-4, atol=1e-6)
        assert float(added(parts)[window]) == pytest.approx(math.fsum(found), rel=1e-4, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([1, 4, 11, 200]),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_no_cut_changes_a_bit(seed, channels, cuts):
    n = sum(cuts)
    units = make_units(seed, channels=channels).on(CPU)
    values = torch.from_numpy(make_features(seed, n, channels=channels))
    groups = torch.from_numpy(np.random.default_rng(seed).integers(3, size=n))
    whole = units.fourth_powers(values.clone(), groups)
    total = added(whole)

    start = 0
    for length in cuts:
        own = slice(start, start + length)
        start += length
        parts = units.fourth_powers(values[:, own].clone(), groups[own])
        assert torch.equal(parts, whole[own])
        assert torch.equal(added(parts), total[own])


@pytest.mark.parametrize("channels", [1, 2, 9, 200])
def test_channels_are_added_from_left_to_right(channels):
    parts = make_features(0, 50, features=1, channels=channels)[0]
    total = parts[:, 0].copy()
    for channel in range(1, channels):
        total += parts[:, channel]

    assert np.array_equal(added(torch.from_numpy(parts)).numpy(), total)


def test_one_channel_far_out_is_not_diluted_by_many_healthy_ones():
    units = Units(middle=np.zeros((1, 1, 100), np.float32), reach=np.ones((1, 1, 100), np.float32))
    values = torch.full((1, 1, 100), 1.0)
    values[0, 0, 7] = 20.0

    parts = units.on(CPU).fourth_powers(values, torch.zeros(1, dtype=torch.int64))

    assert float(added(parts).sqrt().sqrt()) == pytest.approx(20.0, rel=1e-3)


def test_what_lies_below_the_median_is_nothing():
    units = make_units(0)
    below = torch.from_numpy(units.middle[:, :1] * np.float32(0.9))

    parts = units.on(CPU).fourth_powers(below, torch.zeros(1, dtype=torch.int64))

    assert parts.tolist() == [[0.0] * 4]
