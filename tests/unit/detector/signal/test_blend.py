"""The mix of a reading and its prediction: better than both, and blind to nothing."""

import numpy as np
import pytest
import torch

from detector.signal.blend import Blend, Sample, fit_blend


def sample(*, noise=1.0, error=0.5, rows=20_000, seed=0, faults=0):
    """Difference of readings (true value 0) and predictions; two channels, the second clean."""
    rng = np.random.default_rng(seed)
    reading = noise * rng.standard_normal((rows, 2)) * [1.0, 0.0]
    prediction = error * rng.standard_normal((rows, 2))
    difference = (reading - prediction).astype(np.float32)
    difference[:faults] += 40.0
    checks = np.zeros((rows, 1, 2), dtype=np.float32)
    made = Sample(difference=difference, checks=checks, variance=np.array([noise**2, 0.0]))
    return made, reading, prediction


NO_LEAK = np.zeros((1, 2))


def shares(blend, difference, checks=None, group=0):
    difference = torch.as_tensor(difference, dtype=torch.float32)
    if checks is None:
        checks = torch.zeros(len(difference), 1, 2)
    return blend.shares(difference, checks, torch.full((len(difference),), group)).numpy()


@pytest.mark.parametrize("error", [0.3, 1.0, 3.0])
def test_its_error_lies_below_that_of_reading_and_prediction_and_is_known(error):
    made, reading, prediction = sample(error=error)
    blend, expected = fit_blend([made], NO_LEAK)

    clean = reading - shares(blend, made.difference) * (reading - prediction)

    of_clean, of_reading, of_prediction = (
        np.mean(one[:, 0] ** 2) for one in (clean, reading, prediction)
    )
    assert of_clean < min(of_reading, of_prediction)
    assert of_clean == pytest.approx(error**2 / (1 + error**2), rel=0.1)
    assert expected[0, 0] == pytest.approx(of_clean / of_reading, rel=0.1)


def test_a_reading_without_noise_is_left_alone():
    blend, expected = fit_blend([sample()[0]], NO_LEAK)

    assert blend.share[0, 1] == 0
    assert expected[0, 1] == 1


def test_a_step_of_ten_noise_deviations_passes_at_once():
    blend, _ = fit_blend([sample()[0]], NO_LEAK)

    assert shares(blend, [[10.0, 10.0], [0.1, 0.1]])[:, 0].tolist() == [
        0.0,
        pytest.approx(0.8, abs=0.05),
    ]


def test_faults_in_the_history_do_not_widen_what_passes_for_noise():
    usual, odd = (fit_blend([sample(faults=faults)[0]], NO_LEAK)[0] for faults in (0, 100))

    assert odd.cut[0, 0] == pytest.approx(float(usual.cut[0, 0]), rel=0.5)
    assert shares(odd, [[10.0, 10.0]])[0, 0] == 0


def test_where_the_context_shows_a_change_the_reading_passes():
    blend = Blend(
        share=torch.tensor([[0.8, 0.8]]),
        cut=torch.tensor([[3.0, 3.0]]),
        limit=torch.tensor([[[1.0, 1.0]]]),
    )
    checks = torch.tensor([[[0.9, 1.5]], [[1.25, -2.0]]])

    found = shares(blend, [[0.1, 0.1], [0.1, 0.1]], checks)

    np.testing.assert_allclose(found, [[0.8, 0.0], [0.4, 0.0]], atol=1e-6)


def test_a_sensor_has_its_own_mix():
    made = [sample()[0], sample(error=3.0, seed=1)[0], sample(error=0.3, seed=2)[0]]

    blend, expected = fit_blend(made, NO_LEAK)

    share = blend.share[:, 0]
    assert share[1] < share[0] < share[2]
    assert expected[1, 0] > expected[0, 0] > expected[2, 0]


def test_no_more_is_promised_than_so_few_samples_can_show():
    made, *_ = sample(error=1e-3, rows=50)

    _, expected = fit_blend([made], NO_LEAK)

    assert expected[0, 0] == pytest.approx(np.sqrt(2 / 50))


def test_missing_readings_count_for_nothing():
    made, *_ = sample()
    holes = made.difference.copy()
    holes[::3] = np.nan

    blend, _ = fit_blend(
        [Sample(difference=holes, checks=made.checks, variance=made.variance)], NO_LEAK
    )

    assert blend.share[0, 0] == pytest.approx(0.8, abs=0.03)


def test_nothing_but_missing_readings_leaves_all_as_it_is():
    made, *_ = sample(rows=100)
    nothing = np.full_like(made.difference, np.nan)

    blend, expected = fit_blend(
        [Sample(difference=nothing, checks=made.checks, variance=made.variance)], NO_LEAK
    )

    assert (blend.share == 0).all()
    assert (expected == 1).all()
