"""Numbers at the ends of the scale: no warning (they are errors in tests), no NaN, no infinity."""

import numpy as np
import pytest

from detector.signal.series import LARGEST
from detector.training.train import train
from tests.support.fleets import make_config, make_fleet, make_series, trained

BIG = float(np.finfo(np.float64).max)
ROWS = 500
WAVE = np.sin(np.arange(ROWS) / 9.0)
ODD = np.arange(ROWS) % 7 == 0

CHANNELS = {
    "a few at the largest number": np.where(ODD, BIG, WAVE),
    "from one end to the other": np.where(ODD, BIG, -BIG),
    "nothing but the largest": np.full(ROWS, BIG),
    "a spread that overflows": BIG * WAVE,
    "squares that overflow": 1e200 * WAVE,
    "just within bounds": LARGEST * WAVE,
    "squares that vanish": 1e-200 * WAVE,
    "the smallest numbers": 5e-324 * np.round(10 * WAVE),
    "never there": np.full(ROWS, np.nan),
    "never moving": np.full(ROWS, 3.0),
    "zero": np.zeros(ROWS),
    "counts near 2^63": np.float64(2**63 - 1) - np.round(1000 * WAVE),
    "there at the end only": np.where(np.arange(ROWS) < 400, np.nan, WAVE),
}


def with_channel(channel):
    values = make_fleet(sensors=1, rows=ROWS).noisy[0].copy()
    values[:, 1] = channel
    return values


def check(detector, values):
    ends = np.arange(detector.receptive_field - 1, ROWS)
    scores = detector.score(values, ends, np.zeros(len(ends), np.int32))
    for found in (scores.score, scores.raw, scores.p_value, scores.expected, scores.denoised):
        assert np.isfinite(found).all()
    assert np.allclose(scores.contribution.sum(axis=1), 1, atol=1e-6)
    return scores


@pytest.mark.parametrize("kind", ["dense", "pca"])
@pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS.keys())
def test_any_channel_can_be_trained_on_and_scored(channel, kind):
    values = with_channel(channel)

    check(train([make_series(values)], make_config(kind=kind, max_steps=10)), values)


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS.keys())
def test_a_model_of_usual_numbers_scores_any(channel):
    check(trained(), with_channel(channel))


def test_the_largest_number_is_flagged_and_published_as_it_came():
    values = make_fleet(sensors=1, rows=ROWS).noisy[0].copy()
    values[250, 1] = BIG

    scores = check(trained(), values)

    place = 250 - (trained().receptive_field - 1)
    assert scores.score[place] > 1
    assert scores.denoised[place, 1] == BIG
