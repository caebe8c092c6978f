import numpy as np
import pytest

from detector.signal.denoising import CORRECTION_LIMIT, Denoiser, smooth
from detector.training.train import train
from tests.support.fleets import make_config, make_fleet, make_series


def gain_db(clean, noisy, output):
    return 10 * np.log10(
        np.mean((noisy - clean) ** 2, axis=0) / np.mean((output - clean) ** 2, axis=0)
    )


def test_the_teacher_removes_noise_from_a_slow_signal():
    rng = np.random.default_rng(0)
    clean = np.sin(np.arange(2000) / 30)[:, None]
    noisy = clean + 0.3 * rng.standard_normal(clean.shape)

    assert gain_db(clean, noisy, smooth(noisy, np.array([0.3])))[0] > 8


def test_the_teacher_leaves_a_clean_signal_alone():
    clean = np.random.default_rng(0).standard_normal((500, 1)).cumsum(axis=0)

    assert (smooth(clean, np.array([0.0])) == clean).all()


def test_the_teacher_never_makes_a_fast_signal_worse():
    clean = np.sin(2 * np.pi * np.arange(2000) / 9)[:, None]
    noisy = clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape)

    assert gain_db(clean, noisy, smooth(noisy, np.array([0.1])))[0] > -0.1


def test_the_teacher_copes_with_a_segment_shorter_than_its_window():
    rows = np.arange(3.0)[:, None]

    assert (smooth(rows, np.array([1.0])) == rows).all()


def fit_blend(sigma, *, error=0.05, leak=0.0, n=4000):
    rng = np.random.default_rng(0)
    clean = rng.standard_normal((n, 1))
    readings = clean + sigma * rng.standard_normal((n, 1))
    output = clean + error * rng.standard_normal((n, 1))
    blend = Denoiser.fit(readings, output, np.array([sigma]), np.array([leak]))
    return blend, clean, readings, output


def test_a_reading_without_noise_is_published_as_it_came():
    blend, _, readings, output = fit_blend(0.0, error=0.3)
    groups = np.zeros(len(readings), dtype=np.int32)

    assert (blend.apply(readings, output, groups) == readings).all()


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0])
def test_the_blend_is_at_least_as_good_as_either_part(sigma):
    blend, clean, readings, output = fit_blend(sigma, error=0.2)
    mixed = blend.apply(readings, output, np.zeros(len(readings), dtype=np.int32))

    def error(values):
        return np.mean((values - clean) ** 2)

    assert error(mixed) <= 1.02 * min(error(readings), error(output))


def test_a_model_that_copies_its_input_gets_no_weight():
    blend, *_ = fit_blend(0.3, leak=1.0)

    assert blend.weight[0, 0] == 0.0


def test_a_fault_is_not_smoothed_away():
    blend, *_ = fit_blend(0.3)
    readings, output = np.array([[50.0]]), np.array([[0.0]])

    kept = blend.apply(readings, output, np.zeros(1, dtype=np.int32))

    assert kept[0, 0] == pytest.approx(50.0 - blend.weight[0, 0] * blend.limit[0, 0])
    assert kept[0, 0] > 50.0 - CORRECTION_LIMIT * 0.35


def test_a_missing_reading_is_replaced_by_the_reconstruction():
    blend, *_ = fit_blend(0.3)
    readings, output = np.array([[np.nan], [1.0]]), np.array([[7.0], [1.0]])

    clean = blend.apply(readings, output, np.zeros(2, dtype=np.int32))

    assert clean[0, 0] == 7.0


@pytest.fixture(scope="module", params=[0.1, 0.3, 1.0])
def noisy_case(request):
    noise = request.param
    fleet = make_fleet(rows=4000, noise=noise, seed=3)
    detector = train(fleet.series(slice(0, 3000)), make_config(max_steps=600))
    return noise, fleet, detector


def test_a_noisy_signal_comes_back_cleaner_without_delay(noisy_case):
    """On later rows of the same sensors, sample by sample: no channel loses, the mean gains."""
    _, fleet, detector = noisy_case
    gains = []
    for number, (clean, noisy) in enumerate(zip(fleet.clean, fleet.noisy, strict=True)):
        ends = np.arange(3015, 4000)
        groups = np.full(len(ends), detector.group_of(f"s{number}"), dtype=np.int32)
        scores = detector.score(noisy, ends, groups)
        gains.append(gain_db(clean[ends], noisy[ends], scores.denoised))

    assert np.min(gains) > 0
    assert np.mean(gains) > 4


def test_a_clean_signal_comes_back_unharmed():
    """40 dB and more below the signal: less than a thousandth of its deviation is changed."""
    fleet = make_fleet(sensors=1, rows=3000, noise=0.0)
    detector = train(fleet.series(), make_config())
    ends = np.arange(2000, 3000)

    scores = detector.score(fleet.clean[0], ends, np.ones(len(ends), dtype=np.int32))

    clean = fleet.clean[0][ends]
    error = np.sqrt(np.mean((scores.denoised - clean) ** 2, axis=0)) / clean.std(axis=0)
    assert error.max() < 0.01


def test_a_spike_survives_denoising():
    fleet = make_fleet(sensors=1, rows=3000, noise=0.2)
    detector = train(fleet.series(), make_config())
    values = fleet.noisy[0].copy()
    values[2500, 1] += 10 * values[:, 1].std()

    scores = detector.score(
        make_series(values).values, np.array([2500]), np.ones(1, dtype=np.int32)
    )

    height = (scores.denoised[0, 1] - fleet.clean[0][2500, 1]) / values[:, 1].std()
    assert height > 7
    assert scores.score[0] >= 1
