"""Windows that are not full yet: scored by the short looks, and said to be."""

import numpy as np
import pytest

from detector.training.pyramid import PyramidTraining
from detector.training.train import train
from tests.support.fleets import make_config, trained
from tests.support.pyramids import (
    REACH,
    WARM_UP,
    make_pyramid_config,
    pyramid_detector,
    score,
    small_fleet,
)


@pytest.fixture(scope="module")
def detector():
    return pyramid_detector()


@pytest.fixture
def rows():
    return small_fleet().noisy[0][:400].copy()


def test_a_sensor_is_scored_from_the_warm_up_on(detector, rows):
    assert (detector.warm_up, detector.receptive_field) == (WARM_UP, REACH)

    ends = np.arange(WARM_UP - 1, 300)
    scores = score(detector, rows, ends, lengths=np.minimum(ends + 1, REACH))

    assert scores.partial.tolist() == (ends < REACH - 1).tolist()
    assert np.isfinite(scores.score).all()
    assert ((scores.p_value > 0) & (scores.p_value <= 1)).all()
    assert np.isnan(scores.levels[:, 0]).tolist() == scores.partial.tolist()
    assert np.isfinite(scores.levels[:, 1:]).all()


def test_a_plain_detector_scores_no_partial_window():
    plain = trained()

    assert plain.warm_up == plain.receptive_field == 16
    assert plain.head.partial is None
    with pytest.raises(ValueError, match=r"lengths must lie in 16\.\.16, got 15\.\.15"):
        score(plain, np.zeros((40, 4)), [20], lengths=15)


@pytest.mark.parametrize("length", [WARM_UP - 1, 0, -1, REACH + 1])
def test_a_length_out_of_range_is_rejected(detector, rows, length):
    with pytest.raises(ValueError, match=r"lengths must lie in 16\.\.256"):
        score(detector, rows, [300, 301], lengths=[REACH, length])


def test_a_window_that_reaches_outside_of_the_rows_is_rejected(detector, rows):
    with pytest.raises(ValueError, match="ends must lie in"):
        score(detector, rows, [50], lengths=[52])

    assert score(detector, rows, [50], lengths=[51]).partial.tolist() == [True]


def test_a_length_for_each_end_is_asked_for(detector, rows):
    with pytest.raises(ValueError, match="one length for each end"):
        detector.score(rows, np.array([300]), np.array([1], dtype=np.int32), lengths=np.array([]))


@pytest.mark.parametrize(
    ("ends", "groups", "lengths"),
    [
        ([255, 280], [1, 2], [256, 32]),  # row 249 would be of both
        ([100, 140, 150], [1, 2, 2], [32, 32, 151]),  # the third reaches over the second
        ([150, 100, 140], [2, 1, 2], [151, 32, 32]),
        ([50, 50], [1, 2], [16, 16]),
    ],
)
def test_windows_of_two_groups_that_overlap_are_rejected(detector, rows, ends, groups, lengths):
    with pytest.raises(ValueError, match="windows of two groups overlap"):
        detector.score(
            rows, np.array(ends), np.array(groups, dtype=np.int32), lengths=np.array(lengths)
        )


def test_windows_of_two_groups_side_by_side_are_taken(detector, rows):
    both = detector.score(
        rows,
        np.array([255, 280]),
        np.array([1, 2], dtype=np.int32),
        lengths=np.array([256, 25]),
    )

    assert both.raw[0] == score(detector, rows, [255]).raw[0]
    assert both.raw[1] == score(detector, rows[256:], [24], group=2, lengths=25).raw[0]


@pytest.mark.parametrize("filler", [np.nan, np.inf, 1e30, -1e30, 12345.0])
def test_what_lies_before_the_length_does_not_matter(detector, rows, filler):
    length = 40
    other = rows.copy()
    other[: 300 - length + 1] = filler

    one, two = (score(detector, some, [300], lengths=length) for some in (rows, other))

    values = ("score", "raw", "p_value", "expected", "denoised", "levels", "contribution", "latent")
    for name in values:
        assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True), name


def test_a_partial_window_hangs_on_no_more_than_the_warm_up(detector, rows):
    lengths = [WARM_UP, WARM_UP + 1, 100, REACH - 1]

    raw = [score(detector, rows, [300], lengths=length).raw[0] for length in lengths]

    assert len(set(raw)) == 1


@pytest.mark.parametrize("hole", [None, 3, 30])
def test_the_short_level_of_a_window_is_the_same_before_it_is_full_and_after(detector, rows, hole):
    """Else what the alarm rule reads would jump when a sensor's window fills up."""
    if hole is not None:
        rows[300 - hole : 300, 1] = np.nan
    ends = np.arange(REACH - 1, 400)

    whole = score(detector, rows, ends)
    partial = score(detector, rows, ends, lengths=REACH - 1)

    assert np.array_equal(whole.levels[:, 1:], partial.levels[:, 1:])
    assert np.array_equal(whole.expected, partial.expected)


def test_a_healthy_sensor_is_not_flagged_while_it_warms_up(detector):
    flagged, scored = 0, 0
    for group, noisy in enumerate(small_fleet().noisy, start=1):
        for start in range(0, 1200, 60):
            ends = np.arange(WARM_UP - 1, REACH - 1)
            scores = score(
                detector, noisy[start : start + REACH], ends, group=group, lengths=ends + 1
            )
            flagged, scored = flagged + len(scores.flagged), scored + len(ends)
            assert scores.p_value.mean() > 0.2

    assert flagged < 0.002 * scored


@pytest.mark.parametrize("group", [0, 1, 2])
def test_a_partial_window_has_a_threshold_and_p_values_of_its_own(detector, rows, group):
    """Those of the short level: the raw scores of whole windows are of another kind."""
    ends = np.arange(WARM_UP - 1, 400)
    whole, partial = detector.head.calibration, detector.head.partial
    assert partial is not None
    assert whole.threshold[group] != partial.threshold[group]

    scores = score(detector, rows, ends, group=group, lengths=np.minimum(ends + 1, REACH))

    for calibration, own in ((partial, scores.partial), (whole, ~scores.partial)):
        raw = scores.raw[own].astype(np.float64)
        expected = calibration.p_value(raw, np.full(own.sum(), group))
        assert np.array_equal(scores.p_value[own], expected)
        assert np.allclose(scores.score[own], raw / calibration.threshold[group], atol=1e-6)


def test_a_fault_is_flagged_while_it_warms_up_and_names_its_channel(detector, rows):
    rows[30:, 2] += 15 * rows[:, 2].std()
    ends = np.arange(WARM_UP - 1, 60)

    scores = score(detector, rows, ends, lengths=ends + 1)

    assert scores.partial.all()
    assert scores.flagged[0] + WARM_UP - 1 in range(30, 34)
    assert np.allclose(scores.contribution.sum(1), 1, atol=1e-6)
    assert (scores.contribution[scores.flagged].argmax(1) == 2).all()


def test_a_signal_view_shorter_than_the_short_look_waits_for_the_look():
    """With R = 8 the short looks still need 16 readings; before, there is nothing to score by."""
    series = small_fleet().series(slice(0, 600))
    detector = train(series, make_pyramid_config(receptive_field=8))
    rows = small_fleet().noisy[0][:300].copy()
    ends = np.arange(15, 60)

    calm = score(detector, rows, ends, lengths=ends + 1)
    rows[30:, 2] += 30 * rows[:, 2].std()
    broken = score(detector, rows, ends, lengths=ends + 1)

    assert detector.warm_up == 16
    assert calm.raw.std() > 0
    assert len(broken.flagged)


def test_a_signal_view_longer_than_all_looks_leaves_nothing_partial():
    looks = tuple(one for one in PyramidTraining().looks if one[0] == "short")
    config = make_config(
        receptive_field=32,
        max_steps=5,
        further_views=(PyramidTraining(max_steps=2, looks=looks),),
    )
    detector = train(small_fleet().series(slice(0, 900)), config)

    assert detector.warm_up == detector.receptive_field == 32
    assert score(detector, small_fleet().noisy[0], [31]).partial.tolist() == [False]
