"""From a real topic through the loop to real topics: equal to the backtest, whatever happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.artifact import load, save
from detector.scoring import Detector
from schemas.columns import Readings
from schemas.settings import Guarantee, Settings
from tests.support.broker import MakeTopic, produce, read_all
from tests.support.models import (
    EARLY,
    SECOND_NS,
    START_NS,
    early_detector,
    encoded,
    reading_records,
    small_detector,
)
from tests.support.streams import (
    Place,
    Scored,
    anomalies,
    drained,
    make_settings,
    open_loop,
    records_done,
    scored_readings,
    step_until,
)
from tests.support.views import REGISTRY, LevelTraining
from workers.backtest.backtest import backtest
from workers.kafka.client import Connection

pytestmark = pytest.mark.kafka

SENSORS = ["pump-1", "pump-2", "pump-3"]


def by_sensor_and_time(
    connection: Connection, settings: Settings, found: dict[Place, Scored]
) -> dict[tuple[str, int], Scored]:
    keys = {
        (record.partition, record.offset): record.key.decode()
        for record in read_all(connection, settings.topics.readings)
    }
    return {(keys[p, o], scored.ts_ns): scored for (p, o, _), scored in found.items()}


def expected_from_backtest(
    records: list[tuple[str, int, np.ndarray]], detector: Detector
) -> dict[tuple[str, int], Scored]:
    chunk = Readings(
        positions=np.arange(len(records)),
        sensors=[sensor for sensor, _, _ in records],
        counts=np.ones(len(records), np.int64),
        ts_ns=np.array([ts for _, ts, _ in records], np.int64),
        values=np.array([values for _, _, values in records]),
    )
    expected: dict[tuple[str, int], Scored] = {}
    for answered, scores in backtest(detector, [chunk]):
        request = answered.request
        for run in request.samples.runs:
            for row in range(run.start, run.stop):
                expected[run.sensor, int(request.samples.ts_ns[row])] = Scored(
                    int(request.samples.ts_ns[row]),
                    float(answered.judged.score[row]),
                    tuple(scores.denoised[row].tolist()),
                )
    return expected


def test_live_equals_backtest(connection: Connection, make_topic: MakeTopic, group: str) -> None:
    settings = make_settings(connection, make_topic, group)
    records = reading_records(SENSORS, 60, spike_at=40)
    produce(connection, settings.topics.readings, encoded(records))
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == len(records))
    live = by_sensor_and_time(connection, settings, scored_readings(connection, settings))
    expected = expected_from_backtest(records, small_detector())
    assert live == expected
    flagged = {key for key, scored in expected.items() if (scored.score or 0.0) >= 1.0}
    found = {(a.sensor_id, a.ts_ns) for a in anomalies(connection, settings).values()}
    assert found == flagged
    assert len(flagged) >= len(SENSORS)


def test_a_detector_that_scores_early_goes_through_restarts(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    """Left where sensors are scored by less than whole windows: equal to a backtest, and told."""
    detector = early_detector()
    settings = make_settings(
        connection,
        make_topic,
        group,
        stream={"max_poll_records": 5},
        processing={"commit_interval_s": 0.001},
    )
    records = reading_records(SENSORS, 20, spike_at=4)
    produce(connection, settings.topics.readings, encoded(records))
    done, partially = 0, 0
    for reach in (3 * len(SENSORS), 5 * len(SENSORS), len(records)):
        with open_loop(settings, detector) as loop:
            step_until(loop, lambda: done + records_done(loop) >= reach)  # noqa: B023
            drained(loop)
            done += records_done(loop)
            partially += loop.health.total.scored_partially
    live = by_sensor_and_time(connection, settings, scored_readings(connection, settings))
    assert live == expected_from_backtest(records, detector)
    assert len(live) == len(SENSORS) * (20 - EARLY + 1)
    assert partially == len(SENSORS) * (detector.receptive_field - EARLY)
    whole = START_NS + (detector.receptive_field - 1) * SECOND_NS
    found = anomalies(connection, settings).values()
    assert {a.partial for a in found if a.ts_ns < whole} == {True}
    assert not any(a.partial for a in found if a.ts_ns >= whole)


@pytest.mark.parametrize("guarantee", list(Guarantee))
@pytest.mark.parametrize("kills", [[1], [50, 51, 120]])
def test_a_kill_without_a_goodbye_changes_no_score(
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    kills: list[int],
    guarantee: Guarantee,
) -> None:
    """Each loop but the last is left in the middle: no drain, no last commit."""
    settings = make_settings(
        connection,
        make_topic,
        group,
        stream={"max_poll_records": 20},
        processing={"commit_interval_s": 0.001, "guarantee": guarantee},
    )
    records = reading_records(SENSORS, 60, spike_at=40)
    produce(connection, settings.topics.readings, encoded(records))
    done = 0
    for kill in kills:
        with open_loop(settings, small_detector()) as loop:
            left = kill - done
            step_until(loop, lambda: records_done(loop) >= left)  # noqa: B023
            done += records_done(loop)
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: done + records_done(loop) >= len(records))
        drained(loop)
    live = by_sensor_and_time(connection, settings, scored_readings(connection, settings))
    assert live == expected_from_backtest(records, small_detector())


def test_a_second_view_with_a_longer_window_goes_through_kills(
    connection: Connection, make_topic: MakeTopic, group: str, tmp_path: Path
) -> None:
    """Trained, saved, loaded by every worker, left in the middle, restored: equal to a backtest.

    And the backtest to a call of its own for every reading.
    """
    trained = small_detector(further_views=(LevelTraining(receptive_field=16),))
    model = save(trained, tmp_path / "model")
    settings = make_settings(
        connection,
        make_topic,
        group,
        stream={"max_poll_records": 20},
        processing={"commit_interval_s": 0.001},
    )
    records = reading_records(SENSORS, 60, spike_at=40)
    produce(connection, settings.topics.readings, encoded(records))
    done = 0
    for kill in (30, 70, 120):
        with open_loop(settings, load(model, "cpu", registry=REGISTRY)) as loop:
            left = kill - done
            step_until(loop, lambda: records_done(loop) >= left)  # noqa: B023
            done += records_done(loop)
    with open_loop(settings, load(model, "cpu", registry=REGISTRY)) as loop:
        step_until(loop, lambda: done + records_done(loop) >= len(records))
        drained(loop)

    live = by_sensor_and_time(connection, settings, scored_readings(connection, settings))

    expected = expected_from_backtest(records, trained)
    assert live == expected
    assert len(expected) == len(SENSORS) * (60 - 15)
    one_view = expected_from_backtest(records, small_detector())
    assert any(expected[key].score != one_view[key].score for key in expected)
    for name in SENSORS:
        rows = np.array([values for sensor, _, values in records if sensor == name])
        stamps = [ts_ns for sensor, ts_ns, _ in records if sensor == name]
        own = np.array([trained.group_of(name)], dtype=np.int32)
        for end in range(15, 60):
            alone = trained.score(rows[end - 15 : end + 1], np.array([15]), own)
            assert live[name, stamps[end]].denoised == tuple(alone.denoised[0].tolist())
