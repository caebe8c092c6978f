"""Incidents of a backtest: what the stream says of rows, what it was worth, and the files of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from detector.calibration.alarm_numbers import AlarmNumbers
from detector.calibration.alarm_rule import AlarmRule
from detector.calibration.drift import REFERENCES, DriftWatch
from detector.calibration.severity import tail_p_value
from detector.scoring import Detector
from schemas.wire.anomaly import anomaly_id
from schemas.wire.incident import Incident
from tests.support.models import CHANNELS, SECOND_NS, START_NS, plant_values, small_detector
from workers.backtest.account import account_of, most_telling
from workers.backtest.backtest import ScoredSensor, score_history
from workers.backtest.drifts import DriftResult, drift_of
from workers.backtest.incident_file import COLUMNS as TABLE
from workers.backtest.incident_file import write_incidents
from workers.backtest.judged import judge
from workers.backtest.score_file import COLUMNS, write_scores
from workers.data.files import read_files
from workers.data.history import History, SensorRows

FAULT = slice(400, 440)
RATE = 1 / 2_000
WARM_UP = 7


class LevelDetector(Detector):
    """Its levels are those of a table, by the second of a reading; a score is made of them."""

    table: np.ndarray

    def score(self, rows, ends, groups, *, lengths=None, times=None):
        scores = super().score(rows, ends, groups, lengths=lengths, times=times)
        levels = self.table[(times[ends] - START_NS) // SECOND_NS]
        score = np.exp(levels[:, 0]) / self.head.calibration.threshold[groups]
        return replace(scores, levels=levels, score=score, flagged=np.flatnonzero(score >= 1.0))


def detector_with_rule(rows=800, faults=(FAULT,), drift=slice(0)) -> LevelDetector:
    """Centre 0, spread 1; bars at about 4. The levels are noise, and 12 more in faults.

    It watches for drift by epochs of 16 rows.
    """
    groups = 3
    pairs = {"centre": 0.0, "spread": 1.0, "quantile": 1.5, "slope": 0.5, "clusters": 0.2}
    numbers = AlarmNumbers(
        **{name: np.full((groups, 2), value) for name, value in pairs.items()},
        memory=np.full(groups, 700.0),
    )
    plain = small_detector()
    rule = AlarmRule(numbers=numbers, rate=RATE)
    watch = DriftWatch(
        medians=np.tile(
            np.r_[np.linspace(-0.4, 0.6, 20), np.full(REFERENCES - 20, np.inf)], (3, 1)
        ),
        count=np.full(3, 20),
        power=np.ones(3),
        epoch_rows=16,
        limit=30.0,
    )
    head = replace(plain.head, alarms=rule, drift=watch)
    detector = LevelDetector(plain.identity, plain.views, head)
    table = 0.5 * np.random.default_rng(1).standard_normal((rows, 2))
    for fault in faults:
        table[fault] += 12.0
    table[drift] += 2.0
    detector.table = table
    return detector


def score(
    rows=800,
    *,
    faults=(FAULT,),
    labels=(FAULT,),
    sensors=("s0",),
    left_out=slice(0),
    detector=None,
) -> list[ScoredSensor]:
    """Sensors with the same faults in their second channel, scored."""
    values, marked = plant_values(rows, seed=0), np.zeros(rows, np.bool_)
    for fault in faults:
        values[fault, 1] += 5.0
    for label in labels:
        marked[label] = True
    kept = np.delete(np.arange(rows), left_out)
    history = History(
        channels=CHANNELS,
        sensors=tuple(
            SensorRows(
                sensor=name,
                ts_ns=START_NS + kept * SECOND_NS,
                values=values[kept],
                labels=marked[kept] if labels else None,
            )
            for name in sensors
        ),
        read=rows * len(sensors),
        left_out=Counter(),
        units={},
        told_missing=Counter(),
        unordered=Counter(),
    )
    return score_history(history, detector or detector_with_rule(rows, faults))[0]


def test_an_incident_says_when_it_began_what_was_worst_and_how_it_ended():
    (one,) = score()

    (found,) = one.incidents

    assert (found.first, found.opened) == (400, 401)
    assert 439 < found.until <= 470
    assert found.top == 400 + int(np.argmax(one.strength[FAULT]))
    told = found.told
    assert (told.first_ns, told.last_ns) == tuple(one.ts_ns[[400, 439]].tolist())
    assert (told.end_reason, told.severity) == ("recovered", "high")
    assert (told.flagged, told.duration_s) == (40, found.until - 400)
    assert told.until_ns == one.ts_ns[found.until]
    assert told.peak == one.score[FAULT].max()
    assert told.p_value == tail_p_value(one.strength[found.top], RATE)
    assert one.flagged[FAULT].all()
    assert np.array_equal(one.flagged, one.score >= 1.0)


def test_rows_in_alarm_have_the_number_of_their_incident():
    (one,) = score(faults=(FAULT, slice(600, 603)))

    assert len(one.incidents) == 2
    assert set(one.incident[one.alarm].tolist()) == {1, 2}
    for number, found in enumerate(one.incidents, start=1):
        assert np.flatnonzero(one.incident == number)[[0, -1]].tolist() == [
            found.first, found.until,
        ]  # fmt: skip


def test_an_incident_at_the_end_of_the_readings_is_open_and_as_it_is_then():
    (one,) = score(rows=430)

    (found,) = one.incidents

    assert (found.told.end_reason, found.told.end_ns) == (None, None)
    assert found.until == 429
    assert (found.told.flagged, found.told.readings) == (30, 29)


def test_the_score_of_a_row_is_by_the_threshold_of_that_row():
    (one,) = score()

    assert one.bar[WARM_UP] != one.bar[399]
    table = detector_with_rule().table[WARM_UP:, 0]
    threshold = small_detector().threshold_of(small_detector().group_of("s0"))
    by_first_day = np.exp(table) / threshold
    np.testing.assert_allclose(
        one.score[WARM_UP:], by_first_day / one.bar[WARM_UP:], rtol=0, atol=1e-6
    )


def test_rows_without_a_score_open_nothing_and_have_no_bar():
    (one,) = score(faults=(slice(400, 440),), left_out=slice(380, 433))
    back = slice(380, 380 + WARM_UP)

    assert one.incidents == []
    for column in (one.bar, one.score, one.strength):
        assert np.isnan(column[back]).all()
        assert np.isfinite(column[WARM_UP:380]).all()
    assert not (one.flagged | one.alarm)[back].any()


def test_the_ids_of_sensors_in_the_same_rows_differ():
    first, second = score(sensors=("s0", "s1"))

    for partition, one in enumerate((first, second)):
        (found,) = one.incidents
        assert found.told.id == anomaly_id("vigie.readings", partition, 400, 0)
        assert found.told.source.partition == partition


def test_incidents_are_judged_as_an_operator_counts_them():
    missed, vain = slice(200, 210), slice(600, 603)
    (one,) = score(faults=(FAULT, vain), labels=(FAULT, missed))

    judged = judge(one)

    assert (judged.incidents, judged.false) == (2, 1)
    assert (judged.events, judged.found, judged.opened) == (2, 1, 1)
    assert judged.median_delay_s == 1.0
    assert judged.normal_rows == 800 - WARM_UP - 50
    assert 0 < judged.normal_alarm_rows < 120


def test_an_incident_shortly_before_an_event_is_the_events():
    (one,) = score(labels=(slice(415, 440),))

    judged = judge(one)

    assert (judged.false, judged.found, judged.delays_s) == (0, 1, (0.0,))


def test_without_labels_every_incident_counts_against_the_budget():
    detector = detector_with_rule()

    found = account_of(score(labels=(), detector=detector), detector)
    document = found.document(CHANNELS, "1 per week")

    assert (document["budget"]["observed"], document["incidents"]["false"]) == (1, None)
    assert [one["false"] for one in document["incidents"]["listed"]] == [None]
    assert document["budget"]["asked"] == pytest.approx((800 - WARM_UP) * RATE)


def test_an_incident_names_the_channel_what_was_expected_and_what_was_seen():
    detector = detector_with_rule()
    found = account_of(score(detector=detector), detector)

    (listed,) = found.document(CHANNELS, "")["incidents"]["listed"]
    (pressure,) = [one for one in listed["channels"] if one["channel"] == "pressure"]
    assert pressure["direction"] == "high"
    assert pressure["observed"] > pressure["expected"] + pressure["band"]
    shares = [one["share"] for one in listed["channels"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(channel["share"] for channel in listed["channels"]) == pytest.approx(1.0)


def test_the_sensor_to_draw_has_the_most_rows_found_inside_of_labels():
    faulty, quiet = *score(), *score(faults=(), sensors=("s1",))

    assert most_telling([quiet, faulty]) is faulty


def test_the_file_has_scores_incidents_and_settled_scores(tmp_path):
    (one,) = score()

    write_scores([one], ("flow", "incident", "temperature"), tmp_path / "s.csv")

    history = read_files([tmp_path / "s.csv"])
    names = ("score", "flagged", "settled", "vigie_incident", "flow", "incident", "temperature")
    assert COLUMNS == ("score", "flagged", "settled", "incident")
    assert history.channels == names
    values = history.sensors[0].values
    np.testing.assert_array_equal(values[:, 3] == 1, one.incident == 1)
    np.testing.assert_array_equal(values[WARM_UP:, 1] == 1, one.flagged[WARM_UP:])


def account(**how):
    """Two incidents, the second of them false by the labels, unless `how` says otherwise."""
    faults = how.setdefault("faults", (FAULT, slice(600, 603)))
    detector = detector_with_rule(how.get("rows", 800), faults)
    return account_of(score(detector=detector, **how), detector)


@pytest.mark.parametrize("name", ["i.jsonl", "new/i.json", "i.ndjson"])
def test_incidents_are_written_as_the_documents_of_the_stream(tmp_path, name):
    found = account(labels=())

    write_incidents(found.incidents, tmp_path / name)

    lines = (tmp_path / name).read_text().splitlines()
    assert [Incident.model_validate_json(line) for line in lines] == [
        one.incident.told for one in found.incidents
    ]
    assert [json.loads(line)["source"]["first_offset"] for line in lines] == [400, 600]


@pytest.mark.parametrize("name", ["i.csv", "i.parquet"])
def test_incidents_are_written_as_a_table(tmp_path, name):
    found = account()

    write_incidents(found.incidents, tmp_path / name)

    read = pq.read_table if name == "i.parquet" else pa_csv.read_csv
    table = read(tmp_path / name)
    assert table.column_names == TABLE.names
    first, second = table.to_pylist()
    assert (first["sensor_id"], first["severity"], first["end_reason"]) == (
        "s0", "high", "recovered",
    )  # fmt: skip
    told = found.incidents[0].incident.told
    assert first["id"] == str(told.id)
    assert (first["flagged"], first["peak"]) == (40, told.peak)
    assert (first["channel"], first["observed"]) == (
        told.channels[0].channel, told.channels[0].observed,
    )  # fmt: skip
    assert (first["false"], second["false"]) == (False, True)


@pytest.mark.parametrize("name", ["i.csv", "i.parquet", "i.jsonl"])
def test_no_incident_makes_a_file_without_a_row(tmp_path, name):
    write_incidents(account(faults=(), labels=()).incidents, tmp_path / name)

    text = (tmp_path / name).read_bytes()
    if name == "i.parquet":
        assert pq.read_table(tmp_path / name).num_rows == 0
    else:
        assert len(text.splitlines()) == (1 if name == "i.csv" else 0)


def test_an_open_incident_has_no_end_in_the_table(tmp_path):
    write_incidents(account(rows=430, faults=(FAULT,), labels=()).incidents, tmp_path / "i.parquet")

    (row,) = pq.read_table(tmp_path / "i.parquet").to_pylist()

    assert (row["end"], row["end_reason"], row["false"]) == (None, None, None)


def test_a_model_older_than_the_rule_has_no_incidents():
    plain = small_detector()
    older = Detector(plain.identity, plain.views, replace(plain.head, alarms=None, drift=None))

    (one,) = score(detector=older)

    assert one.incidents == []
    assert one.flagged[FAULT].all()
    assert not one.alarm.any()
    assert (one.bar[one.scored] == 1.0).all()
    assert drift_of(one, older) is None
    assert not account_of([one], older).has_rule


def test_a_drift_is_an_incident_of_its_own_kind_and_counts_against_no_budget(tmp_path):
    detector = detector_with_rule(faults=(), drift=slice(300, 800))
    sensors = score(faults=(), labels=(), detector=detector)

    found = account_of(sensors, detector)
    write_incidents(found.all_incidents, tmp_path / "i.csv")

    (one,) = sensors[0].drifts
    assert (one.told.kind, one.told.end_reason) == ("drift", None)
    assert 300 + 16 < one.opened < 800
    assert (found.judged.incidents, found.judged.false, list(found.incidents)) == (0, 0, [])
    (row,) = pa_csv.read_csv(tmp_path / "i.csv").to_pylist()
    assert (row["kind"], row["channel"], row["false"]) == ("drift", None, None)
    assert one.told.change is not None
    (drift,) = found.drifts
    assert drift == DriftResult(
        sensor="s0",
        judged=(800 - WARM_UP) // 16,
        drifting=True,
        given_ns=one.told.opened_ns,
        epochs=one.told.change.epochs,
        epoch_s=16.0,
    )
    assert drift.word == "drifting"


def test_a_drift_that_is_over_has_ended():
    detector = detector_with_rule(3_000, faults=(), drift=slice(300, 700))

    (one,) = score(3_000, faults=(), labels=(), detector=detector)

    assert one.drifts[0].told.end_reason == "recovered"
    drift = drift_of(one, detector)
    assert drift is not None
    assert drift.word == "drifted, and is back"


def test_a_history_too_short_for_a_drift_verdict_is_said():
    (one,) = score()

    drift = drift_of(one, small_detector())

    assert drift is not None
    assert drift.word == "no verdict"
