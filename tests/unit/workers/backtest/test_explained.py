"""A backtest of a model with a season: its scores, its incidents and why, all by their times."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from detector.calibration.settled import LAG
from schemas.columns import Readings
from tests.support.pyramids import REACH, seasonal_detector, seasonal_series
from workers.backtest.backtest import ScoredSensor, backtest
from workers.backtest.explained import explained
from workers.backtest.incidents import alarms_of
from workers.backtest.score_file import write_scores

FAULT = 500


@pytest.fixture(scope="module")
def scored():
    """A sensor whose second channel is broken for a while."""
    series = seasonal_series(0, weeks=4)
    values = series.values.copy()
    values[FAULT : FAULT + 60, 1] += 8.0
    n = len(values)
    chunk = Readings(
        positions=np.arange(n, dtype=np.int64),
        sensors=["s0"] * n,
        counts=np.ones(n, np.int64),
        ts_ns=series.ts_ns,
        values=values,
    )
    score, levels = np.full(n, np.nan), np.full((n, 2), np.nan)
    for answered, scores in backtest(seasonal_detector(), [chunk]):
        score[answered.request.samples.offsets] = scores.score
        levels[answered.request.samples.offsets] = scores.levels
    return ScoredSensor(
        sensor="s0",
        ts_ns=series.ts_ns,
        values=values,
        score=score,
        denoised=values,
        levels=levels,
        labels=None,
    )


def test_a_window_is_scored_by_the_hours_of_its_rows(scored):
    detector = seasonal_detector()
    ends = np.arange(REACH - 1, len(scored.score))

    live = detector.score(
        scored.values, ends, np.ones(len(ends), dtype=np.int32), times=scored.ts_ns
    )

    assert np.array_equal(scored.score[ends], live.score)


def test_its_incidents_are_explained(scored):
    detector = seasonal_detector()
    alarms = alarms_of(scored, detector)
    assert alarms is not None
    found = [one for one in alarms.incidents if one.first <= FAULT + 30 <= one.last]
    assert found

    (account, *_) = explained(scored, found, detector)

    assert account.channels[0].channel == "b"
    assert account.why is not None
    assert account.why.reasons[0].channel == 1
    end = np.array([account.incident.top])
    scores = detector.score(scored.values, end, np.ones(1, np.int32), times=scored.ts_ns)
    assert account.channels[0].share == scores.contribution[0, 1]


def test_the_file_of_a_backtest_has_the_settled_score_of_every_scored_row(scored, tmp_path):
    path = tmp_path / "scores.csv"
    write_scores([scored], {}, ("a", "b", "c"), path)

    with path.open() as file:
        rows = list(csv.DictReader(file))

    assert [row["settled"] != "" for row in rows] == scored.scored.tolist()
    row = int(np.flatnonzero(scored.scored)[0]) + 5
    expected = np.exp(np.log(scored.score[row : row + LAG]).mean())
    assert float(rows[row]["settled"]) == pytest.approx(expected, rel=1e-6)
