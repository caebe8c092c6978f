"""Incidents of a backtest: the rule over levels, what they were worth, and settled scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detector.calibration.alarm_numbers import AlarmNumbers
from detector.calibration.alarm_rule import AlarmRule, EndReason
from detector.scoring import Detector
from tests.support.models import CHANNELS, SECOND_NS, START_NS, plant_values, small_detector
from workers.backtest.account import account_of
from workers.backtest.backtest import ScoredSensor
from workers.backtest.drifts import drift_of
from workers.backtest.incidents import SensorAlarms, alarms_of
from workers.backtest.judged import judge
from workers.backtest.score_file import COLUMNS, write_scores
from workers.data.files import read_files

FAULT = slice(400, 440)


def detector_with_rule() -> Detector:
    """Centre 0, spread 1; bars at about 4."""
    groups = 3
    pairs = {"centre": 0.0, "spread": 1.0, "quantile": 1.5, "slope": 0.5, "clusters": 0.2}
    numbers = AlarmNumbers(
        **{name: np.full((groups, 2), value) for name, value in pairs.items()},
        memory=np.full(groups, 700.0),
    )
    plain = small_detector()
    rule = AlarmRule(numbers=numbers, rate=1 / 2_000)
    return Detector(plain.identity, plain.views, replace(plain.head, alarms=rule))


def make_scored(rows=800, *, faults=(FAULT,), labels=(FAULT,), unscored=(), sensor="s0"):
    rng = np.random.default_rng(1)
    levels = 0.5 * rng.standard_normal((rows, 2))
    values = plant_values(rows, seed=0)
    marked = np.zeros(rows, np.bool_)
    for fault in faults:
        levels[fault] += 12.0
        values[fault, 1] += 5.0
    for label in labels:
        marked[label] = True
    levels[:7] = np.nan
    for hole in unscored:
        levels[hole] = np.nan
    return ScoredSensor(
        sensor=sensor,
        ts_ns=START_NS + np.arange(rows, dtype=np.int64) * SECOND_NS,
        values=values,
        score=np.exp(levels[:, 0] / 8),
        denoised=values,
        levels=levels,
        labels=marked if labels else None,
    )


def told(one: ScoredSensor, detector: Detector, **how: int) -> SensorAlarms:
    """What the rule says of a sensor."""
    found = alarms_of(one, detector, **how)
    assert found is not None
    return found


@pytest.mark.parametrize("chunk_rows", [1, 7, 401, 420, 799])
def test_the_cut_into_chunks_changes_nothing(chunk_rows):
    one, detector = make_scored(faults=(FAULT, slice(600, 603))), detector_with_rule()

    whole, cut = told(one, detector), told(one, detector, chunk_rows=chunk_rows)

    assert cut.incidents == whole.incidents
    assert len(whole.incidents) == 2
    for name in ("alarm", "number", "strength", "bar"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))


def test_an_incident_says_when_it_began_what_was_worst_and_how_it_ended():
    (incident,) = told(make_scored(), detector_with_rule()).incidents

    assert (incident.first, incident.opened) == (401, 401)
    assert incident.first <= incident.top <= 440
    assert incident.reason is EndReason.RECOVERED
    assert incident.severity.word == "high"
    assert incident.duration_s == incident.last - incident.first


def test_an_incident_at_the_end_of_the_readings_is_still_open():
    (incident,) = told(make_scored(rows=430), detector_with_rule()).incidents

    assert incident.reason is None
    assert incident.last == 429


def test_rows_without_a_score_open_nothing_and_have_no_bar():
    alarms = told(make_scored(unscored=[FAULT]), detector_with_rule())

    assert alarms.incidents == []
    assert np.isnan(alarms.bar[FAULT]).all()
    assert np.isfinite(alarms.bar[100:400]).all()


def test_incidents_are_judged_as_an_operator_counts_them():
    missed, vain = slice(200, 210), slice(600, 603)
    one = make_scored(faults=(FAULT, vain), labels=(FAULT, missed))

    judged = judge(one, told(one, detector_with_rule()))

    assert (judged.incidents, judged.false) == (2, 1)
    assert (judged.events, judged.found, judged.opened) == (2, 1, 1)
    assert judged.median_delay_s == 1.0
    assert judged.normal_rows == 800 - 7 - 50
    assert 0 < judged.normal_alarm_rows < 120


def test_an_incident_shortly_before_an_event_is_the_events():
    one = make_scored(labels=(slice(415, 440),))

    judged = judge(one, told(one, detector_with_rule()))

    assert (judged.false, judged.found, judged.delays_s) == (0, 1, (0.0,))


def test_without_labels_every_incident_counts_against_the_budget():
    detector = detector_with_rule()

    found = account_of([make_scored(labels=())], detector)
    document = found.document(CHANNELS, "1 per week")

    assert (document["budget"]["observed"], document["incidents"]["false"]) == (1, None)
    assert document["budget"]["asked"] == pytest.approx((800 - 7) / 2_000)


def test_an_incident_names_the_channel_what_was_expected_and_what_was_seen():
    found = account_of([make_scored()], detector_with_rule())

    (listed,) = found.document(CHANNELS, "")["incidents"]["listed"]
    (pressure,) = [one for one in listed["channels"] if one["channel"] == "pressure"]
    assert pressure["direction"] == "high"
    assert pressure["observed"] > pressure["expected"] + pressure["band"]
    shares = [one["share"] for one in listed["channels"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(channel["share"] for channel in listed["channels"]) == pytest.approx(1.0)


def test_the_file_has_scores_incidents_and_settled_scores(tmp_path):
    one = make_scored()
    alarms = told(one, detector_with_rule())

    write_scores([one], {"s0": alarms}, ("flow", "incident", "temperature"), tmp_path / "s.csv")

    history = read_files([tmp_path / "s.csv"])
    names = ("score", "flagged", "settled", "vigie_incident", "flow", "incident", "temperature")
    assert COLUMNS == ("score", "flagged", "settled", "incident")
    assert history.channels == names
    values = history.sensors[0].values
    np.testing.assert_array_equal(values[:, 3] == 1, alarms.number == 1)


def test_a_model_older_than_the_rule_has_no_incidents():
    plain = small_detector()
    older = Detector(plain.identity, plain.views, replace(plain.head, alarms=None, drift=None))

    assert alarms_of(make_scored(), older) is None
    assert drift_of(make_scored(), older) is None
    assert account_of([make_scored()], older).alarms == []


def test_a_history_too_short_for_a_drift_verdict_is_said():
    drift = drift_of(make_scored(), small_detector())

    assert drift is not None
    assert drift.word == "no verdict"
