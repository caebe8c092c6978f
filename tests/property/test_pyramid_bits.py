"""With a pyramid, too, no cut, order or neighbour changes a bit; partial windows among whole ones.

Every detector has been saved and loaded, as those in a stream have.
"""

import functools
import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.artifact import load, save
from tests.support.fleets import make_fleet
from tests.support.pyramids import REACH, WARM_UP, make_commands, pyramid_detector

ROWS = 420
SENSORS = 3
SCORED = ROWS - WARM_UP + 1
DETECTORS = ("fleet", "signal", "channel", "commands")
FIELDS = (
    *("score", "raw", "p_value", "expected", "denoised"),
    *("levels", "partial", "contribution", "latent"),
)


@functools.cache
def loaded(kind):
    with tempfile.TemporaryDirectory() as folder:
        return load(save(pyramid_detector(kind), Path(folder) / "model"), "cpu")


def make_stream(kind, seed, missing):
    """[sensors, rows, channels], with faults that are flagged."""
    rng = np.random.default_rng(seed)
    if kind == "commands":
        rows = make_commands(SENSORS * ROWS, seed=seed % 5)
    else:
        rows = np.concatenate(make_fleet(sensors=SENSORS, rows=ROWS, seed=seed % 5).noisy)
        rows = rows[:, 1:2] if kind == "channel" else rows
    size = 10 * rows.std(axis=0)
    rows += size * (rng.random(rows.shape) < 0.01)
    start = int(rng.integers(len(rows)))
    rows[start : start + 60] += size
    rows[rng.random(rows.shape) < missing] = np.nan
    if missing:
        start = int(rng.integers(len(rows)))
        rows[start : start + 50, 0] = np.nan
    return rows.reshape(SENSORS, ROWS, -1)


def score(detector, rows, ends, groups, lengths):
    """Every output, by name."""
    scores = detector.score(
        rows, np.asarray(ends), np.asarray(groups, dtype=np.int32), lengths=np.asarray(lengths)
    )
    return {name: getattr(scores, name).reshape(len(ends), -1) for name in FIELDS}


def group_of(detector, sensor):
    return sensor % detector.n_groups


@functools.lru_cache(maxsize=32)
def whole(kind, seed, missing):
    """A stream, and all its scores from one call: partial windows first, of each sensor."""
    detector, stream = loaded(kind), make_stream(kind, seed, missing)
    ends = np.arange(WARM_UP - 1, ROWS)
    scores = score(
        detector,
        stream.reshape(SENSORS * ROWS, -1),
        np.concatenate([ends + sensor * ROWS for sensor in range(SENSORS)]),
        np.repeat([group_of(detector, sensor) for sensor in range(SENSORS)], SCORED),
        np.tile(np.minimum(ends + 1, REACH), SENSORS),
    )
    return stream, {name: one.reshape(SENSORS, SCORED, -1) for name, one in scores.items()}


def assert_same_bits(found, expected, *where):
    for name in FIELDS:
        assert np.array_equal(found[name], expected[name][where], equal_nan=True), name


STREAMS = {
    "kind": st.sampled_from(DETECTORS),
    "seed": st.integers(0, 4),
    "missing": st.sampled_from([0.0, 0.02, 0.3]),
}
SETTINGS = settings(max_examples=12, deadline=None)


@SETTINGS
@given(
    **STREAMS,
    cuts=st.lists(st.integers(1, SCORED - 1), min_size=1, max_size=12),
    filler=st.sampled_from([np.nan, 1e30, 0.0]),
)
def test_cutting_a_stream_into_calls_changes_no_bit(kind, seed, missing, cuts, filler):
    """Each call gets the new rows of every sensor behind its last R-1, sensors in any order.

    Where a sensor has sent fewer rows than that, anything may stand before them.
    """
    detector, rng = loaded(kind), np.random.default_rng(seed)
    stream, expected = whole(kind, seed, missing)
    channels = stream.shape[2]

    for start, stop in itertools.pairwise(sorted({0, *cuts, SCORED})):
        order = rng.permutation(SENSORS)
        rows, ends, groups, lengths, first = [], [], [], [], 0
        for sensor in order:
            began = max(0, start + WARM_UP - REACH)
            junk = int(rng.integers(4))
            rows += [np.full((junk, channels), filler), stream[sensor, began : stop + WARM_UP - 1]]
            new = np.arange(start + WARM_UP - 1, stop + WARM_UP - 1)
            ends.append(first + junk + new - began)
            groups += [group_of(detector, int(sensor))] * len(new)
            lengths.append(np.minimum(new + 1, REACH))
            first += junk + stop + WARM_UP - 1 - began
        found = score(
            detector, np.concatenate(rows), np.concatenate(ends), groups, np.concatenate(lengths)
        )
        found = {name: one.reshape(SENSORS, stop - start, -1) for name, one in found.items()}
        assert_same_bits(found, expected, order, slice(start, stop))


@SETTINGS
@given(**STREAMS, picked=st.integers(1, 600), shuffle=st.integers(0, 99))
def test_the_order_of_the_samples_changes_no_bit(kind, seed, missing, picked, shuffle):
    """A random pick of samples, shuffled, in one call; partial and whole windows mixed."""
    detector, rng = loaded(kind), np.random.default_rng(shuffle)
    stream, expected = whole(kind, seed, missing)
    sensor, place = np.divmod(rng.permutation(SENSORS * SCORED)[:picked], SCORED)
    end = place + WARM_UP - 1

    found = score(
        detector,
        stream.reshape(SENSORS * ROWS, -1),
        sensor * ROWS + end,
        [group_of(detector, int(one)) for one in sensor],
        np.minimum(end + 1, REACH),
    )

    assert_same_bits(found, expected, sensor, place)


@pytest.mark.parametrize("kind", DETECTORS)
def test_a_call_of_any_length_gives_the_same_bits(kind):
    """Sixty lengths: what a library does at the end of an array must not show."""
    detector = loaded(kind)
    stream, expected = whole(kind, 1, 0.02)

    for length in range(1, 61):
        start = 230 + length
        rows = stream[1, : start + length + WARM_UP - 1]
        ends = np.arange(start + WARM_UP - 1, start + length + WARM_UP - 1)
        found = score(
            detector, rows, ends, [group_of(detector, 1)] * length, np.minimum(ends + 1, REACH)
        )
        assert_same_bits(found, expected, 1, slice(start, start + length))


@pytest.mark.parametrize("kind", DETECTORS)
@pytest.mark.parametrize("filler", [np.nan, 1e30, -7.0])
def test_what_lies_before_a_window_changes_no_bit(kind, filler):
    detector = loaded(kind)
    stream, expected = whole(kind, 2, 0.02)

    for length in (WARM_UP, 100, REACH - 1, REACH):
        place = length - WARM_UP if length < REACH else 390
        end = place + WARM_UP - 1
        rows = np.full((50 + length, stream.shape[2]), filler)
        rows[50:] = stream[0, end - length + 1 : end + 1]
        found = score(detector, rows, [49 + length], [group_of(detector, 0)], [length])
        assert_same_bits(found, expected, 0, slice(place, place + 1))


@pytest.mark.parametrize("kind", DETECTORS)
def test_two_threads_give_the_bits_of_one(kind):
    stream, expected = whole(kind, 3, 0.02)
    detector, threads = loaded(kind), torch.get_num_threads()
    ends = np.arange(WARM_UP - 1, ROWS)
    try:
        torch.set_num_threads(2)
        found = score(
            detector, stream[0], ends, [group_of(detector, 0)] * SCORED, np.minimum(ends + 1, REACH)
        )
    finally:
        torch.set_num_threads(threads)

    assert_same_bits(found, expected, 0)


@pytest.mark.parametrize("kind", DETECTORS)
def test_saving_and_loading_changes_no_bit(kind):
    stream, expected = whole(kind, 4, 0.02)
    ends = np.arange(WARM_UP - 1, ROWS)

    found = score(
        pyramid_detector(kind),
        stream[0],
        ends,
        [group_of(loaded(kind), 0)] * SCORED,
        np.minimum(ends + 1, REACH),
    )

    assert_same_bits(found, expected, 0)


@pytest.mark.parametrize("kind", DETECTORS)
def test_the_streams_of_these_tests_have_all_kinds_of_scores(kind):
    _, scores = whole(kind, 1, 0.02)
    flagged = scores["score"][..., 0] >= 1

    assert 0 < flagged.sum() < flagged.size
    assert flagged[:, : REACH - WARM_UP].any()
    assert flagged[:, REACH - WARM_UP :].any()
    looks = {name.split()[0] for view in loaded(kind).views for name in view.features}
    assert ("extremes" in looks) == (kind == "commands")
    assert ("signal" in looks) == (kind == "signal")
