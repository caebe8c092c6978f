"""A backtest of a model with a season: its scores, its incidents and why, all by their times."""

from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest

from detector.calibration.settled import LAG
from tests.support.pyramids import REACH, seasonal_detector, seasonal_series
from workers.backtest import explained
from workers.backtest.backtest import score_history
from workers.backtest.explained import explanations
from workers.backtest.score_file import write_scores
from workers.data.history import History, SensorRows

FAULT = 500


@pytest.fixture(scope="module")
def scored():
    """A sensor whose second channel is broken for a while."""
    series = seasonal_series(0, weeks=4)
    values = series.values.copy()
    values[FAULT : FAULT + 60, 1] += 8.0
    history = History(
        channels=("a", "b", "c"),
        sensors=(SensorRows(sensor="s0", ts_ns=series.ts_ns, values=values, labels=None),),
        read=len(values),
        left_out=Counter(),
        units={},
        told_missing=Counter(),
        unordered=Counter(),
    )
    (one,), _ = score_history(history, seasonal_detector())
    return one


def test_a_window_is_scored_by_the_hours_of_its_rows(scored):
    detector = seasonal_detector()
    ends = np.arange(REACH - 1, len(scored.score))

    live = detector.score(
        scored.values, ends, np.ones(len(ends), dtype=np.int32), times=scored.ts_ns
    )

    assert np.array_equal(scored.denoised[ends], live.denoised)
    assert np.array_equal(scored.score[ends], np.round(live.score / scored.bar[ends], 6))


def test_its_incidents_are_explained(scored):
    detector = seasonal_detector()
    found = [one for one in scored.incidents if one.first <= FAULT + 30 <= one.until]
    assert found

    (why, *_) = explanations(scored, found, detector)

    main = found[0].told.channels[0]
    assert main.channel == "b"
    assert why is not None
    assert why.reasons[0].channel == 1
    end = np.array([found[0].top])
    scores = detector.score(scored.values, end, np.ones(1, np.int32), times=scored.ts_ns)
    assert main.share == pytest.approx(scores.contribution[0, 1], rel=1e-6)


def test_beyond_a_number_of_incidents_no_reasons_are_sought(scored, monkeypatch):
    monkeypatch.setattr(explained, "MOST_EXPLAINED", 1)
    incidents = [scored.incidents[0]] * 3

    found = explanations(scored, incidents, seasonal_detector())

    assert [why is None for why in found] == [False, True, True]
    assert explanations(scored, [], seasonal_detector()) == []


def test_the_file_of_a_backtest_has_the_settled_score_of_every_scored_row(scored, tmp_path):
    path = tmp_path / "scores.csv"
    write_scores([scored], ("a", "b", "c"), path)

    with path.open() as file:
        rows = list(csv.DictReader(file))

    assert [row["settled"] != "" for row in rows] == scored.scored.tolist()
    row = int(np.flatnonzero(scored.scored)[0]) + 5
    expected = np.exp(np.log(scored.score[row : row + LAG]).mean())
    assert float(rows[row]["settled"]) == pytest.approx(expected, rel=1e-6)
