"""The settled score, against its slow twin."""

import math

import numpy as np
import pytest

from detector.calibration.settled import LAG, settled


def twin(scores, lag):
    """Row by row: the geometric mean of the known scores of the row and of those behind it."""
    found = []
    for row, score in enumerate(scores):
        known = [one for one in scores[row : row + lag] if math.isfinite(one)]
        logs = [math.log(max(one, 1e-6)) for one in known]
        unscored = not math.isfinite(score)
        found.append(math.nan if unscored else math.exp(math.fsum(logs) / len(logs)))
    return found


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("lag", [1, 2, 64, 500])
@pytest.mark.parametrize("rows", [1, 63, 64, 300])
def test_it_is_that_of_the_twin(rows, lag, missing):
    rng = np.random.default_rng(rows)
    scores = np.exp(rng.normal(size=rows))
    scores[rng.random(rows) < missing] = np.nan

    np.testing.assert_allclose(settled(scores, lag), twin(scores.tolist(), lag), rtol=1e-9)


def test_a_row_without_a_score_has_none_and_hides_no_other():
    scores = np.full(200, 2.0)
    scores[100] = np.nan

    found = settled(scores)

    assert np.isnan(found[100])
    assert np.allclose(np.delete(found, 100), 2.0)


def test_the_last_rows_average_what_there_is():
    scores = np.exp(np.arange(100) / 10.0)

    found = settled(scores)

    assert found[-1] == pytest.approx(scores[-1])
    assert found[-3] == pytest.approx(scores[-2])
    assert found[0] == pytest.approx(math.exp((LAG - 1) / 20))


def test_it_lies_on_an_event_where_the_score_lies_behind_it():
    scores = np.full(400, 0.5)
    scores[200 + 40 : 300 + 40] = 5.0  # an event in 200..299, seen late and held too long

    found = settled(scores)

    assert found[200] > found[300 + 20]
    assert found[:170].max() < 0.6


def test_a_score_of_nothing_is_a_small_one():
    found = settled(np.array([0.0, 1.0, 1.0]), 3)

    assert np.isfinite(found).all()
    assert found[0] == pytest.approx(1e-2)


@pytest.mark.parametrize("scores", [np.empty(0), np.full(5, np.nan)])
def test_without_scores_there_is_none(scores):
    assert np.array_equal(settled(scores), scores, equal_nan=True)
