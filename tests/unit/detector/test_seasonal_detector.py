"""A model that knows a rhythm of day and week: its rows need their times."""

import itertools

import numpy as np
import pytest

from detector.artifact import load, save
from detector.explanation import explain
from tests.support.pyramids import (
    REACH,
    WARM_UP,
    pyramid_of,
    seasonal_detector,
    seasonal_series,
)

FIELDS = ("score", "raw", "p_value", "expected", "denoised", "levels", "partial")
NEEDS_TIMES = "its rows need their times"


@pytest.fixture(scope="module")
def detector():
    return seasonal_detector()


@pytest.fixture(scope="module")
def stream():
    """Rows and times of a sensor that is broken towards the end."""
    series = seasonal_series(0, weeks=4)
    rows = series.values.copy()
    rows[600:, 1] += 8.0
    return rows, series.ts_ns


def one_sensor(ends, group=1):
    return np.asarray(ends, dtype=np.int64), np.full(len(ends), group, dtype=np.int32)


def test_the_history_of_these_tests_has_a_season(detector):
    assert pyramid_of(detector).season.kept.all()


def test_without_times_whatever_asks_is_told_so(detector, stream):
    rows, _ = stream
    asked = (rows, *one_sensor([300, 301]))

    for call in (detector.score, detector.fused):
        with pytest.raises(ValueError, match=NEEDS_TIMES):
            call(*asked)
    with pytest.raises(ValueError, match=NEEDS_TIMES):
        explain(detector, *asked)
    with pytest.raises(ValueError, match=NEEDS_TIMES):
        detector.score(*asked, lengths=np.array([WARM_UP, 40]))


def test_a_time_for_each_row_is_asked_for(detector, stream):
    rows, times = stream

    with pytest.raises(ValueError, match="one time for each row"):
        detector.score(rows, *one_sensor([300]), times=times[:-1])


@pytest.mark.parametrize("cuts", [(1, 2, 3), (97, 200), (255, 256, 257, 400)])
def test_cutting_a_stream_into_calls_changes_no_bit(detector, stream, cuts):
    rows, times = stream
    ends, groups = one_sensor(np.arange(WARM_UP - 1, len(rows)))
    lengths = np.minimum(ends + 1, REACH)
    whole = detector.score(rows, ends, groups, lengths=lengths, times=times)

    for start, stop in itertools.pairwise((0, *cuts, len(ends))):
        own = slice(start, stop)
        began = max(0, int(ends[start]) - REACH + 1)
        seen = slice(began, int(ends[stop - 1]) + 1)
        piece = detector.score(
            rows[seen], ends[own] - began, groups[own], lengths=lengths[own], times=times[seen]
        )
        for name in FIELDS:
            found, expected = getattr(piece, name), getattr(whole, name)[own]
            assert np.array_equal(found, expected, equal_nan=True), name


def test_sensors_in_one_call_have_seasons_of_their_own(detector, stream):
    rows, times = stream
    other = seasonal_series(1, weeks=4)
    ends = np.array([400, 400 + len(rows)])

    both = detector.score(
        np.concatenate([rows, other.values]),
        ends,
        np.array([1, 2], dtype=np.int32),
        times=np.concatenate([times, other.ts_ns]),
    )

    for place, (values, ts_ns) in enumerate([(rows, times), (other.values, other.ts_ns)]):
        alone = detector.score(values, *one_sensor([400], group=place + 1), times=ts_ns)
        assert np.array_equal(both.raw[place], alone.raw[0])


def test_the_same_rows_at_another_hour_score_otherwise(detector, stream):
    rows, times = stream
    right, wrong = (
        detector.score(
            rows, *one_sensor(np.arange(REACH - 1, 590)), times=times + hours * 3600 * 10**9
        )
        for hours in (0, 9)
    )

    assert wrong.levels[:, 0].mean() > right.levels[:, 0].mean() + 0.2
    assert np.array_equal(wrong.expected, right.expected)  # the signal view asks no clock


def test_windows_are_explained_with_their_times(detector, stream):
    rows, times = stream
    ends, groups = one_sensor([60, 610])
    lengths = np.array([61, REACH])

    early, broken = explain(detector, rows, ends, groups, lengths=lengths, times=times)
    scores = detector.score(rows, ends, groups, lengths=lengths, times=times)

    assert broken.reasons[0].channel == 1
    assert sum(share for _, share in early.looks) == pytest.approx(1.0)
    assert scores.flagged.tolist() == [1]
    assert scores.contribution[1].argmax() == 1


def test_the_season_is_saved_and_loaded(detector, stream, tmp_path):
    rows, times = stream
    loaded = load(save(detector, tmp_path / "model"), "cpu")
    ends, groups = one_sensor(np.arange(REACH - 1, len(rows)))

    one, two = (which.score(rows, ends, groups, times=times) for which in (detector, loaded))

    for name in FIELDS:
        assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True), name
