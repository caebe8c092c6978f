"""What a season takes off a row: a function of that row and its time alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detector.signal.season import MAX_HARMONIC, WEEK_NS, Season

WEEK_START_NS = 2_800 * WEEK_NS


def made(groups: int = 3, channels: int = 2, harmonics=(1, 2, 7, 14, 40)) -> Season:
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(2, groups, channels, len(harmonics))) / np.array(harmonics)
    waves[:, -1] = 0.0  # the last group has none
    return Season(harmonics=np.array(harmonics, np.int64), cosine=waves[0], sine=waves[1])


def by_cosines(season: Season, times_ns, group: int):
    """The slow, obvious twin."""
    angle = 2 * np.pi * np.outer((times_ns % WEEK_NS) / WEEK_NS, season.harmonics)
    return np.cos(angle) @ season.cosine[group].T + np.sin(angle) @ season.sine[group].T


def random_times(n: int, seed: int = 1):
    rng = np.random.default_rng(seed)
    return np.sort(rng.integers(WEEK_START_NS, WEEK_START_NS + 9 * WEEK_NS, n))


@pytest.mark.parametrize("group", [0, 1, 2])
def test_a_season_is_the_sum_of_its_waves(group):
    season, times_ns = made(), random_times(5000)
    assert season.values(times_ns, np.array(group)) == pytest.approx(
        by_cosines(season, times_ns, group), abs=0.01
    )


def test_what_is_removed_is_the_season():
    season, times_ns = made(), random_times(500)
    rows = np.random.default_rng(2).normal(size=(500, 2))
    groups = np.random.default_rng(3).integers(0, 3, 500)
    left = season.remove(rows, times_ns, groups)
    assert (left == rows - season.values(times_ns, groups)).all()
    for group in range(3):
        own = groups == group
        alone = season.remove(rows[own], times_ns[own], np.array(group))
        assert (left[own] == alone).all()


@given(
    cuts=st.lists(st.integers(0, 9000), max_size=8),
    columns=st.sampled_from([(0, 1), (0,), (1,)]),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_rows_do_not_depend_on_how_they_are_cut_into_calls(cuts, columns, dtype):
    """Bit for bit, single rows and tails included."""
    season = made()
    keep = np.isin(np.arange(2), columns)[None, :, None]
    season = Season(
        harmonics=season.harmonics, cosine=season.cosine * keep, sine=season.sine * keep
    )
    times_ns = random_times(9000)
    rows = np.random.default_rng(4).normal(size=(9000, 2)).astype(dtype)
    groups = np.random.default_rng(5).integers(0, 3, 9000)
    whole = season.remove(rows, times_ns, groups)
    assert whole.dtype == dtype
    edges = [0, *sorted(cuts), 9000]
    for start, stop in pairwise(edges):
        part = slice(start, stop)
        cut = season.remove(rows[part], times_ns[part], groups[part])
        assert (cut == whole[part]).all()
    for row in (0, 17, 4095, 4096, 8999):
        one = slice(row, row + 1)
        assert (season.remove(rows[one], times_ns[one], groups[one]) == whole[one]).all()


def test_every_week_is_alike_also_before_the_epoch():
    season, times_ns = made(), random_times(200)
    now = season.values(times_ns, np.array(0))
    for weeks in (-3_000, -1, 1, 7):
        assert (season.values(times_ns + weeks * WEEK_NS, np.array(0)) == now).all()


def test_a_week_ends_where_the_next_begins():
    season = made()
    times_ns = WEEK_START_NS + np.array([-1, 0, 1])
    values = season.values(times_ns, np.array(0))
    assert np.ptp(values, axis=0) == pytest.approx(0.0, abs=1e-6)


def test_missing_values_stay_missing_and_rows_are_not_written_to():
    rows = np.array([[np.nan, 1.0], [2.0, np.inf]])
    before = rows.copy()
    left = made().remove(rows, random_times(2), np.array(0))
    assert np.isnan(left).tolist() == [[True, False], [False, False]]
    assert np.isinf(left).tolist() == [[False, False], [False, True]]
    assert np.array_equal(rows, before, equal_nan=True)


def test_where_there_is_no_season_rows_are_handed_on_as_they_are():
    rows, times_ns = np.ones((4, 2)), random_times(4)
    for none in (
        Season.none(3, 2),
        Season.restore(Season.none(3, 2).tensors(), n_groups=3, n_channels=2),
    ):
        assert none.remove(rows, times_ns, np.array(0)) is rows
        assert not none.values(times_ns, np.array(1)).any()
        assert not none.kept.any()
    assert (made().remove(rows, times_ns, np.array(2)) == rows).all()
    assert made().kept.tolist() == [[True, True], [True, True], [False, False]]


def test_a_season_survives_its_artifact_to_the_last_bit():
    season, times_ns = made(), random_times(300)
    twin = Season.restore(season.tensors(), n_groups=3, n_channels=2)
    assert (twin.values(times_ns, np.array(1)) == season.values(times_ns, np.array(1))).all()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"harmonics": None}, KeyError),
        ({"harmonics": torch.tensor([1, 2, 7, 14])}, ValueError),
        ({"harmonics": torch.tensor([0, 2, 7, 14, 40])}, ValueError),
        ({"harmonics": torch.tensor([1, 2, 7, 14, MAX_HARMONIC + 1])}, ValueError),
        ({"harmonics": torch.tensor([1, 2, 7, 7, 40])}, ValueError),
        ({"harmonics": torch.tensor([1.0, 2.0, 7.0, 14.0, 40.0])}, TypeError),
        ({"cosine": torch.zeros(3, 2, 5)}, TypeError),
        ({"cosine": torch.zeros(3, 3, 5, dtype=torch.float64)}, ValueError),
        ({"sine": torch.zeros(3, 2, 4, dtype=torch.float64)}, ValueError),
        ({"sine": torch.full((3, 2, 5), 1e4, dtype=torch.float64)}, ValueError),
        ({"sine": torch.full((3, 2, 5), torch.nan, dtype=torch.float64)}, ValueError),
    ],
)
def test_tensors_that_make_no_season_are_rejected(changes, error):
    tensors = {
        name: value for name, value in (made().tensors() | changes).items() if value is not None
    }
    with pytest.raises(error):
        Season.restore(tensors, n_groups=3, n_channels=2)
