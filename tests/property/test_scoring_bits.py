"""A score is a function of the last R readings: no cut, order, batch or thread changes a bit."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.models import KINDS
from tests.support.fleets import make_fleet, trained, trained_with_two_views

ROWS = 700
SENSORS = 3
DETECTORS = (*KINDS, "two views")
FIELDS = ("score", "raw", "p_value", "expected", "denoised", "settled", "contribution", "latent")


def make_detector(views):
    detector = trained_with_two_views() if views == "two views" else trained(views)
    return detector.settling()


def make_stream(seed: int, missing: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = np.concatenate(make_fleet(sensors=SENSORS, rows=ROWS, seed=seed % 5).noisy)
    rows += 300 * (rng.random(rows.shape) < 0.01)
    rows[rng.random(rows.shape) < missing] = np.nan
    return rows.reshape(SENSORS, ROWS, -1)


def score_whole(detector, stream):
    """Every full window of every sensor in one call."""
    size = detector.receptive_field
    ends = np.concatenate([np.arange(size - 1, ROWS) + i * ROWS for i in range(SENSORS)])
    groups = np.repeat(np.arange(SENSORS), ROWS - size + 1).astype(np.int32)
    scores = detector.score(stream.reshape(-1, stream.shape[2]), ends, groups)
    return {name: getattr(scores, name).reshape(SENSORS, ROWS - size + 1, -1) for name in FIELDS}, {
        int(i) for i in scores.flagged
    }


def assert_same_bits(found, expected):
    for name in FIELDS:
        assert np.array_equal(found[name], expected[name]), name


CASES = given(
    seed=st.integers(0, 2**32 - 1),
    missing=st.sampled_from([0.0, 0.02, 0.3]),
    cuts=st.lists(st.integers(1, ROWS - 33), min_size=1, max_size=12),
)
SETTINGS = settings(max_examples=10, deadline=None)


@pytest.mark.parametrize("views", DETECTORS)
@SETTINGS
@CASES
def test_cutting_a_stream_into_calls_changes_no_bit(views, seed, missing, cuts):
    """Each call gets the new rows of every sensor behind its last R-1, sensors in any order."""
    detector, rng = make_detector(views), np.random.default_rng(seed)
    stream = make_stream(seed, missing)
    size = detector.receptive_field
    whole, _ = score_whole(detector, stream)
    pieces = {name: np.empty_like(whole[name]) for name in FIELDS}

    borders = sorted({0, *cuts, ROWS - size + 1})
    for start, stop in itertools.pairwise(borders):
        order = rng.permutation(SENSORS)
        rows = np.concatenate([stream[sensor, start : stop + size - 1] for sensor in order])
        length, new = stop - start + size - 1, stop - start
        ends = np.concatenate([np.arange(size - 1, length) + i * length for i in range(SENSORS)])
        scores = detector.score(rows, ends, np.repeat(order, new).astype(np.int32))
        for name in FIELDS:
            pieces[name][order, start:stop] = getattr(scores, name).reshape(SENSORS, new, -1)

    assert_same_bits(pieces, whole)


@pytest.mark.parametrize("views", DETECTORS)
@SETTINGS
@CASES
def test_the_order_of_the_samples_changes_no_bit(views, seed, missing, cuts):
    """A random pick of samples, shuffled, in one call."""
    detector, rng = make_detector(views), np.random.default_rng(seed)
    stream = make_stream(seed, missing)
    size = detector.receptive_field
    whole, flagged = score_whole(detector, stream)
    windows = ROWS - size + 1
    picks = rng.permutation(SENSORS * windows)[: 1 + sum(cuts) % 1000]

    sensor, place = np.divmod(picks, windows)
    scores = detector.score(
        stream.reshape(-1, stream.shape[2]),
        sensor * ROWS + place + size - 1,
        sensor.astype(np.int32),
    )

    for name in FIELDS:
        found = getattr(scores, name).reshape(len(picks), -1)
        assert np.array_equal(found, whole[name][sensor, place]), name
    assert set(picks[scores.flagged].tolist()) == flagged & set(picks.tolist())


@pytest.mark.parametrize("views", DETECTORS)
@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_two_threads_give_the_bits_of_one(views, missing):
    detector, stream = make_detector(views), make_stream(1, missing)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one, flagged = score_whole(detector, stream)
        torch.set_num_threads(2)
        two, also = score_whole(detector, stream)
    finally:
        torch.set_num_threads(threads)

    assert_same_bits(two, one)
    assert flagged == also


@pytest.mark.parametrize("views", DETECTORS)
def test_a_single_sample_has_the_bits_it_has_among_thousands(views):
    detector, stream = make_detector(views), make_stream(2, 0.0)
    whole, _ = score_whole(detector, stream)
    size = detector.receptive_field

    for place in (0, 1, 300, ROWS - size):
        scores = detector.score(
            stream[1, place : place + size], np.array([size - 1]), np.array([1], dtype=np.int32)
        )
        for name in FIELDS:
            assert np.array_equal(getattr(scores, name).ravel(), whole[name][1, place]), name
