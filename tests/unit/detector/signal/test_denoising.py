import numpy as np
import pytest

from detector.signal.denoising import explained, smooth
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


def test_a_reconstruction_explains_what_it_removes_of_the_noise():
    rng = np.random.default_rng(0)
    noise, error = 0.3 * rng.standard_normal((4000, 1)), 0.1 * rng.standard_normal((4000, 1))
    sigma, none = np.array([0.3]), np.zeros(1)

    share, usual = explained(noise - error, sigma, none)

    assert share[0] == pytest.approx(0.09 / 0.1, abs=0.05)
    assert usual[0] == pytest.approx(np.sqrt(0.1), rel=0.05)
    assert explained(noise - error, sigma, np.ones(1))[0][0] == 0.0
    assert explained(noise - error, none, none)[0][0] == 0.0


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
