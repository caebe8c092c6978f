"""Levels and published scores are two ways to say the same."""

import numpy as np
import pytest

from detector.calibration.published import levels_of, scores_of
from tests.support.models import plant_values, small_detector

GROUP = 1


def test_a_score_is_back_after_the_way_to_levels():
    head = small_detector().head
    score = np.array([0.2, 1.0, 7.0])
    calibrations = (head.calibration, head.calibration)

    levels = levels_of(score, np.full(3, GROUP), head.fusion, calibrations)

    for view in range(2):
        again = scores_of(levels[view], view, GROUP, head.fusion, head.calibration)
        np.testing.assert_allclose(again, score)


def test_the_levels_of_missing_values_say_what_the_score_says():
    """The alarm rule reads levels alone: else a channel could go dark without an incident."""
    detector = small_detector()
    values = plant_values(60, seed=3)
    values[40:, 2] = np.nan
    ends = np.arange(7, 60)

    scores = detector.score(values, ends, np.full(len(ends), GROUP, dtype=np.int32))

    dark = ends >= 47
    assert (scores.score[dark] > 1.5).all()
    threshold = detector.threshold_of(GROUP)
    for view in range(2):
        expected = np.log(scores.score[dark] * threshold)
        assert scores.levels[dark, view] == pytest.approx(expected, abs=1e-5)
