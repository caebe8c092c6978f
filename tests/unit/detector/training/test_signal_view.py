"""Whether the signal view counts beside the looks, by what a training finds."""

import numpy as np

from detector.calibration.log_fusion import LogFusion
from detector.scoring import POOLED
from detector.training.train import train
from detector.views.reconstruction import ONE
from tests.support.fleets import make_fleet, make_series
from tests.support.pyramids import (
    REACH,
    make_pyramid_config,
    pyramid_detector,
    score,
    small_fleet,
)


class TestTheSignalView:
    """It joins the score where it explains its channels down to their noise (PCA does, here)."""

    def names(self, detector):
        return [name for view in detector.views for name in view.features]

    def test_one_that_understands_its_channels_joins_both_levels(self):
        detector = pyramid_detector("signal")
        fusion, place = detector.head.fusion, self.names(detector).index("signal")

        assert detector.signal.features == ONE
        assert isinstance(fusion, LogFusion)
        assert (fusion.weight[:, place] > 0).all()
        assert fusion.median.shape == (len(self.names(detector)), 3)

    def test_one_that_does_not_is_silent(self):
        assert "signal" not in self.names(pyramid_detector())

    def test_a_channel_that_never_moves_does_not_speak_against_it(self):
        values = small_fleet().noisy[0].copy()
        values[:, 1:3] = 50.0, np.nan

        detector = train(
            [
                make_series(values),
                make_series(small_fleet().noisy[1] * [1, 0, np.nan, 1], sensor="s1"),
            ],
            make_pyramid_config(kind="pca", max_steps=5),
        )

        assert "signal" in self.names(detector)

    def test_a_broken_correlation_that_looks_miss_is_farther_out_by_it(self):
        """A channel that says what it said before: its means and spreads are as always."""
        rows = small_fleet().noisy[0][:700].copy()
        rows[600:, 0] = rows[500:600, 0][::-1]
        ends = np.arange(620, 700)

        levels = [score(pyramid_detector(kind), rows, ends).score for kind in ("fleet", "signal")]

        assert np.median(levels[1]) > np.median(levels[0])

    def test_sensors_unknown_to_the_training_are_scored_by_it_too(self):
        unseen = make_fleet(seed=77, rows=1200).noisy[0]
        ends = np.arange(REACH - 1, 1200)

        assert (
            score(pyramid_detector("signal"), unseen, ends, group=POOLED).score >= 1
        ).mean() < 0.05
