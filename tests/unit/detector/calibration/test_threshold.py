import numpy as np
import pytest

from detector.calibration.threshold import Calibration, tail_quantile


def normal_scores(n, seed=0):
    return np.abs(np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def make_calibration(*scores, rate=1e-3):
    return Calibration.fit(list(scores), rate=rate, receptive_field=8)


def test_enough_samples_are_counted():
    scores = np.arange(1, 100_001) / 100_000

    assert tail_quantile(scores, 0.001) == pytest.approx(0.999, abs=2e-5)


@pytest.mark.parametrize("n", [200, 1000, 5000])
def test_an_exponential_tail_is_extrapolated_to_its_true_quantile(n):
    rate = 1e-6
    found = [
        tail_quantile(np.random.default_rng(seed).exponential(size=n), rate) for seed in range(40)
    ]

    assert np.median(found) == pytest.approx(-np.log(rate), rel=0.15)


def test_a_lighter_tail_gets_a_threshold_on_the_safe_side():
    scores = normal_scores(3000).astype(np.float64)

    assert tail_quantile(scores, 1e-6) > 4.89  # the true quantile of |N(0, 1)|


@pytest.mark.parametrize("n", [1, 2, 20])
def test_a_handful_of_scores_gives_a_threshold_not_below_them(n):
    scores = normal_scores(n).astype(np.float64)

    assert tail_quantile(scores, 1e-6) >= np.quantile(scores, 0.9)


@pytest.mark.parametrize(("scores", "rate"), [([], 0.1), ([1.0], 0.0), ([1.0], 1.0)])
def test_a_quantile_of_nothing_is_rejected(scores, rate):
    with pytest.raises(ValueError, match="needs scores and 0 < rate < 1"):
        tail_quantile(np.array(scores), rate)


def test_a_rarer_alarm_needs_a_higher_score():
    scores = normal_scores(4000).astype(np.float64)
    thresholds = [tail_quantile(scores, rate) for rate in (0.1, 0.01, 1e-3, 1e-4, 1e-6, 1e-8)]

    assert thresholds == sorted(thresholds)
    assert len(set(thresholds)) == len(thresholds)


def test_the_rate_is_held_on_new_data_of_the_same_kind():
    rate = 1e-3
    calibration = make_calibration(normal_scores(20_000), rate=rate)
    fresh = normal_scores(400_000, seed=1)

    assert (fresh >= calibration.threshold[0]).mean() == pytest.approx(rate, rel=0.5)


def test_a_noisier_sensor_gets_a_higher_threshold_of_its_own():
    quiet, loud = normal_scores(2000, seed=1), 3 * normal_scores(2000, seed=2)
    calibration = make_calibration(np.concatenate([quiet, loud]), quiet, loud, rate=1e-6)

    assert calibration.threshold[2] > 2 * calibration.threshold[1]


def test_few_independent_windows_lean_on_all_for_the_slope_of_the_tail():
    pooled = normal_scores(20_000)
    flat = np.full(100, 2.0, dtype=np.float32)  # a block that by chance shows no tail at all

    calibration = make_calibration(pooled, flat, rate=1e-6)

    assert calibration.threshold[1] > 3.0


@pytest.mark.parametrize("n", [5, 130, 256, 5000])
def test_p_values_count_the_calibration_scores_at_least_as_high(n):
    scores = normal_scores(n)
    calibration = make_calibration(scores)
    asked = np.concatenate([scores[-20:], [0.0, 9.0]]).astype(np.float64)

    p = calibration.p_value(asked, np.zeros(len(asked), dtype=np.int64))
    exact = (1 + (scores[None] >= asked[:, None]).sum(1)) / (n + 1)

    assert (p >= exact.astype(np.float32)).all()  # rounded up between knots, never down
    assert np.abs(p - exact).max() <= (1e-7 if n <= 256 else 1 / 100)
    assert p[-1] == np.float32(1 / (n + 1))
    assert p[-2] == 1.0


def test_p_values_use_the_group_of_the_sample():
    calibration = make_calibration(normal_scores(300), 10 * normal_scores(300))

    p = calibration.p_value(np.array([4.0, 4.0]), np.array([0, 1], dtype=np.int64))

    assert p[0] < 0.01
    assert p[1] > 0.3


def test_p_values_of_new_data_are_uniform():
    calibration = make_calibration(normal_scores(5000))
    p = calibration.p_value(
        normal_scores(20_000, seed=5).astype(np.float64), np.zeros(20_000, dtype=np.int64)
    )

    for level in (0.01, 0.1, 0.5):
        assert (p <= level).mean() == pytest.approx(level, rel=0.25)
