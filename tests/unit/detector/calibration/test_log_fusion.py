"""The fusion of logs, against its slow twin."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.calibration.fusion import LEVELS
from detector.calibration.log_fusion import LogFusion, short_level, trust, weights
from tests.support import naive

NAMES = (
    "long nearest",
    "long autoencoder",
    "short nearest",
    "short autoencoder",
    "extremes nearest",
    "signal",
)


def make_fusion(seed=0, distances=7, groups=3):
    rng = np.random.default_rng(seed)
    weight = np.zeros((LEVELS, distances))
    weight[0, [0, 1, 2, 6][: max(distances - 3, 1)]] = rng.uniform(0.1, 2)
    for level in range(1, LEVELS):
        weight[level, 2 * level % distances] = 1.0
    median = rng.uniform(0.01, 5, (distances, groups)).astype(np.float32)
    return LogFusion(median=median, weight=weight)


def make_distances(seed, n, distances=7, channels=4):
    """Parts by channel, and their distances; some far out, some nothing at all."""
    rng = np.random.default_rng(seed)
    parts = (rng.standard_normal((distances, n, channels)) ** 2).astype(np.float32)
    parts *= 10.0 ** rng.integers(-3, 4, (distances, n, 1)).astype(np.float32)
    parts[rng.random((distances, n)) < 0.1] = 0.0
    fusion = make_fusion(seed, distances)
    total, own = fusion.combine(torch.from_numpy(parts), torch.zeros(n, dtype=torch.int64))
    return fusion, total.numpy(), own.numpy()


CASES = given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    distances=st.sampled_from([1, 3, 7, 9]),
    channels=st.sampled_from([1, 4, 11]),
)
SETTINGS = settings(max_examples=40, deadline=None)


@SETTINGS
@CASES
def test_scores_levels_and_logs_are_those_of_the_twin(seed, n, distances, channels):
    fusion, measured, _ = make_distances(seed, n, distances, channels)
    rng = np.random.default_rng(seed)
    groups, partial = rng.integers(3, size=n), rng.random(n) < 0.4

    fused = fusion.fuse(measured, groups, partial)

    for place in range(n):
        raw, levels, logs = naive.fused(
            measured[:, place],
            fusion.median,
            fusion.weight,
            groups[place],
            partial=partial[place],
        )
        assert fused.raw[place] == pytest.approx(raw, rel=3e-7)
        np.testing.assert_allclose(fused.levels[:, place], levels, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(fused.logs[:, place], logs, rtol=1e-12, atol=1e-12)


@SETTINGS
@CASES
def test_shares_are_those_of_the_twin_and_sum_to_one(seed, n, distances, channels):
    fusion, measured, parts = make_distances(seed, n, distances, channels)
    rng = np.random.default_rng(seed)
    groups = rng.integers(3, size=n)
    partial = rng.random(n) < 0.4
    fused = fusion.fuse(measured, groups, partial)

    shares = fusion.shares(fused, parts, partial)
    by_distance = fusion.by_distance(fused, partial)

    assert np.allclose(shares.sum(1), 1, atol=1e-6)
    assert np.allclose(by_distance.sum(0), 1, atol=1e-12)
    for row in range(n):
        used = fusion.weight[1 if partial[row] else 0]
        logs = fused.logs[:, row]
        if (used * (logs - np.log(1.3)))[parts[:, row].sum(1) > 0].max(initial=0) > 1e-9:
            expected = naive.shares(parts[:, row].astype(np.float64), logs, used)
            np.testing.assert_allclose(shares[row], expected, rtol=1e-6, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    distances=st.sampled_from([1, 7, 9, 17]),
    channels=st.sampled_from([1, 4, 11, 200]),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_no_cut_changes_a_bit(seed, distances, channels, cuts):
    """What a library computes at the end of an array, or of one window, may differ in low bits."""
    n = sum(cuts)
    fusion, measured, parts = make_distances(seed, n, distances, channels)
    rng = np.random.default_rng(seed)
    groups, partial = rng.integers(3, size=n), rng.random(n) < 0.3
    whole = fusion.fuse(measured, groups, partial)
    shares = fusion.shares(whole, parts, partial)

    start = 0
    for length in cuts:
        own = slice(start, start + length)
        start += length
        piece = fusion.fuse(measured[:, own], groups[own], partial[own])
        assert np.array_equal(piece.raw, whole.raw[own])
        assert np.array_equal(piece.levels, whole.levels[:, own], equal_nan=True)
        assert np.array_equal(piece.logs, whole.logs[:, own])
        assert np.array_equal(fusion.shares(piece, parts[:, own], partial[own]), shares[own])


@pytest.mark.parametrize("function", [np.log, np.exp])
def test_a_logarithm_is_the_same_wherever_it_stands_in_an_array(function):
    """Scores are cut into calls of any length; a vectorised tail must not show."""
    values = np.exp(np.random.default_rng(0).normal(size=80))
    whole = function(values)

    for start in range(9):
        for end in range(start + 1, start + 66):
            assert np.array_equal(function(values[start:end].copy()), whole[start:end])


def test_a_window_far_from_nothing_names_all_channels_alike():
    fusion = make_fusion()
    nothing = np.zeros((7, 1), dtype=np.float32)
    fused = fusion.fuse(nothing, np.array([0]), np.array([False]))

    shares = fusion.shares(fused, np.zeros((7, 1, 4), dtype=np.float32), np.array([False]))

    assert shares.tolist() == [[0.25] * 4]


def test_a_partial_window_is_scored_by_the_short_level_alone():
    fusion, measured, _ = make_distances(1, 5)
    other = measured.copy()
    other[[0, 1, 3, 4, 5, 6]] = 1e6
    zero, partial = np.zeros(5, dtype=np.int64), np.ones(5, dtype=bool)

    one, two = (fusion.fuse(some, zero, partial) for some in (measured, other))

    assert np.array_equal(one.raw, two.raw)
    assert np.array_equal(one.levels[1], two.levels[1])
    assert np.isnan(one.levels[0]).all()


def test_twice_as_far_in_every_look_is_about_twice_as_high():
    fusion = make_fusion()
    far = 50 * fusion.median[:, :1]
    zero, whole = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=bool)

    one, two = fusion.fuse(far, zero, whole).raw, fusion.fuse(2 * far, zero, whole).raw

    assert float(two[0] / one[0]) == pytest.approx(2, rel=0.01)


def test_a_distance_that_never_moved_has_a_median_all_the_same():
    medians = LogFusion.medians(np.zeros((2, 10), dtype=np.float32))

    assert (medians > 0).all()


def test_only_some_distances_keep_their_numbers():
    fusion = make_fusion()

    kept = fusion.only([0, 2])

    assert np.array_equal(kept.median, fusion.median[[0, 2]])
    assert np.array_equal(kept.weight, fusion.weight[:, [0, 2]])


def history_of(short):
    """Distances of a history whose short level is, but for a constant, twice `short`."""
    far = np.exp(np.asarray(short)) - 0.3
    distances = np.ones((len(NAMES), len(far)), dtype=np.float32)
    distances[[2, 3]] = np.maximum(far, 1e-3)
    return distances


class TestWeights:
    calm = np.random.default_rng(0).normal(0, 0.3, 5000)
    restless = np.random.default_rng(0).standard_cauchy(5000)
    few = np.empty((len(NAMES), 0), dtype=np.float32)

    def test_a_calm_short_look_of_a_short_history_joins_the_ranking(self):
        found = weights(NAMES, history_of(self.calm), self.few, 0.0)

        assert found.shape == (LEVELS, len(NAMES))
        assert found[0].tolist() == [1, 1, 2, 2, 0, 0]
        assert found[1].tolist() == [0, 0, 1, 1, 0, 0]

    def test_a_restless_one_is_left_out_and_the_extremes_come_in(self):
        found = weights(NAMES, history_of(np.clip(self.restless, -5, 5)), self.few, 0.0)

        assert found[0].tolist() == [1, 1, 0, 0, 0.5, 0]
        assert found[1].tolist() == [0, 0, 1, 1, 0, 0]

    def test_extremes_weigh_half_of_what_the_short_look_is_not_trusted_with(self):
        distances = history_of(self.calm * 2)
        quiet, share = trust(short_level(NAMES, distances), 5000)
        assert 0.2 < quiet < 0.8

        found = weights(NAMES, distances, self.few, 0.0)

        assert found[0, 2:5].tolist() == [2 * share, 2 * share, (1 - quiet) / 2]

    def test_a_long_history_needs_the_short_look_less(self):
        shares = [trust(self.calm, rows)[1] for rows in (100, 6144, 12_288)]

        assert shares[:2] == [1.0, 1.0]
        assert shares[2] == pytest.approx(0.25)
        # Too little to be worth its time.
        long = history_of(np.resize(self.calm, 70_000))
        assert weights(NAMES, long, self.few, 0.0)[0, 2:4].tolist() == [0, 0]

    def test_trust_falls_as_the_tail_grows(self):
        found = [trust(self.calm * factor, 1000)[0] for factor in (1, 4, 5, 6, 10)]

        assert found == sorted(found, reverse=True)
        assert (found[0], found[-1]) == (1.0, 0.0)

    def test_commands_that_come_again_and_again_take_all_trust(self):
        restless = self.calm[:1000].copy()
        restless[::50] += 8.0

        assert trust(restless, 1000) == (0.0, 0.0)

    @pytest.mark.parametrize("rows", [1, 2, 3, 9])
    def test_a_few_rows_are_enough_for_an_answer(self, rows):
        assert trust(np.zeros(rows), rows) == (1.0, 1.0)

    def test_the_short_level_is_the_sum_of_the_logs_of_the_short_look(self):
        distances = np.random.default_rng(0).uniform(0.1, 3, (6, 50)).astype(np.float32)

        level = short_level(NAMES, distances)

        own = distances[2:4].astype(np.float64)
        medians = np.median(distances[2:4], axis=1).astype(np.float64)
        assert np.allclose(level, np.log(own / medians[:, None] + 0.3).sum(0))


class TestTheSignalView:
    """It counts where it explains its channels, is quiet on rows that it has not seen, and many."""

    history = history_of(np.random.default_rng(0).normal(0, 0.3, 5000))

    def weight(self, rows=1024, tail=0.3, understood=1.0, names=NAMES):
        """Its weight in the ranking, and in the short level."""
        held_back = np.ones((len(names), rows), dtype=np.float32)
        noise = np.exp(np.random.default_rng(1).normal(0, tail, rows)) * 1.3 - 0.3
        held_back[-1] = np.maximum(noise, 1e-3)
        return weights(names, self.history[: len(names)], held_back, understood)[:, -1].tolist()

    def test_one_that_understands_its_channels_counts_in_both_levels(self):
        assert self.weight() == [4.0, 4.0]

    def test_one_that_does_not_counts_nowhere(self):
        assert self.weight(understood=0.6) == [0.0, 0.0]

    def test_one_that_half_does_counts_half(self):
        assert self.weight(understood=0.725) == pytest.approx([2.0, 2.0])

    def test_a_restless_one_counts_nowhere(self):
        assert self.weight(tail=2.0) == [0.0, 0.0]

    def test_a_median_of_held_back_rows_is_its_own(self):
        """What it learned from lies nearer: its median would make held-back rows look far out."""
        held_back = np.full((len(NAMES), 1024), 50.0, dtype=np.float32)

        assert weights(NAMES, self.history, held_back, 1.0)[0, -1] == 4.0

    @pytest.mark.parametrize(("rows", "weight"), [(0, 0), (1, 0), (64, 0), (192, 2), (5000, 4)])
    def test_it_counts_as_its_held_back_rows_are_many(self, rows, weight):
        assert self.weight(rows=rows) == pytest.approx([weight, weight])

    def test_a_weight_next_to_nothing_is_nothing(self):
        assert self.weight(understood=0.6501) == [0.0, 0.0]
        assert min(self.weight(understood=0.655)) > 0.02

    def test_as_far_as_it_counts_the_looks_count_less(self):
        held_back = np.ones((len(NAMES), 1024), dtype=np.float32)
        with_it, without = (weights(NAMES, self.history, held_back, one) for one in (1.0, 0.0))

        assert with_it[:, :-1] == pytest.approx(without[:, :-1] / 4)

    def test_a_silent_one_is_not_asked(self):
        names = NAMES[:-1]

        assert weights(names, self.history[:-1], np.ones((5, 999), np.float32), 1.0).shape == (2, 5)
