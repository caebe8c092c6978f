"""The constants of `vigie size` are found again in runs whose costs are made of known ones."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.sizing import CASES, CHECKS, WORKED, shrunk
from benchmarks.sizing_cases import Case, Cost, Seen, cost_between
from benchmarks.sizing_fit import Besides, memory_of, predicted, processor_of, sizes_of
from benchmarks.stages import Reached
from benchmarks.workload import Topics
from tests.support.sizing import round_figures
from workers.sizing.measured import DetectorKind, Encoding, Processor

TRUE = Processor.model_validate(
    {
        "read": {
            Encoding.READING: {"base": 4.0, "per_channel": 0.2},
            Encoding.FRAME: {"base": 0.5, "per_channel": 0.1},
        },
        "frame_record": 30.0,
        "fetch_record": 1.5,
        "score": {
            DetectorKind.PLAIN: {"base": 1.0, "per_channel": 0.5},
            DetectorKind.FULL: {"base": 5.0, "per_channel": 2.0},
        },
        "score_call": 1_500.0,
        "network": {"base": 0.0, "per_channel": 0.4},
        "ship": 1.0,
        "publish": {"base": 3.0, "per_channel": 0.1},
        "publish_sensor": 80.0,
        "commit": 8_000.0,
        "restore": {
            Encoding.READING: {"base": 5.0, "per_channel": 0.2},
            Encoding.FRAME: {"base": 1.0, "per_channel": 0.1},
        },
        "broker_record": 12.0,
    }
)
BESIDES = Besides(network={8: 3.2, 32: 12.8}, ship=1.0)
TOPICS = Topics(
    readings="r",
    denoised="d",
    anomalies="a",
    dead_letters="x",
    sensor_state="s",
    incidents="i",
    verdicts="v",
)


def seen(case: Case, number: int) -> Seen:
    """A run whose costs are exactly those of `TRUE`, its sensors and commits as they fell."""
    sensors, commits, calls = (
        0.01 * (1 + 7 * (number % 4)),
        1e-4 * (1 + number % 3),
        4e-3 / (1 + number % 5),
    )
    counted = {"calls": calls, "sensors": sensors, "commits": commits}
    records = case.records / case.readings
    frames = TRUE.frame_record if case.encoding is Encoding.FRAME else 0.0
    read = TRUE.read[case.encoding].at(case.channels) + frames * records
    score = TRUE.score[case.detector].at(case.channels) + calls * TRUE.score_call
    rest = (
        records * TRUE.fetch_record
        + TRUE.publish.at(case.channels)
        + sensors * TRUE.publish_sensor
        + commits * TRUE.commit
    )
    return Seen(
        case=case,
        cost=Cost(
            read=read,
            score=score,
            publish=0.7 * rest,
            wire=0.3 * rest,
            records=records,
            states=sensors,
            broker=TRUE.broker_record,
            resident_bytes=10**9 + 5_000 * case.sensors,
            **counted,
        ),
        restore=TRUE.restore[case.encoding].at(case.channels),
        bytes={
            f"{case.encoding}-x": (40 + 11 * case.channels) * case.readings,
            "c-denoised": 700_000,
            "c-sensor-state": 1_200 * 500,
            "c-incidents": 2_000 * 30,
        },
        sent={"c-denoised": 7_000, "c-sensor-state": 500, "c-incidents": 30},
    )


RUNS = [seen(case, number) for number, case in enumerate(CASES.values())]


def test_known_costs_are_found_again():
    found = processor_of(RUNS, BESIDES)

    for number, case in enumerate(CHECKS.values()):
        run = seen(case, number + 1)
        said = predicted(
            case,
            found,
            calls=run.cost.calls,
            sensors=run.cost.sensors,
            commits=run.cost.commits,
        )
        assert said == pytest.approx(run.cost.total, rel=0.01)
    assert found.score_call == pytest.approx(TRUE.score_call, rel=0.01)
    assert found.publish_sensor == pytest.approx(TRUE.publish_sensor, rel=0.01)
    assert found.network.at(16) == pytest.approx(TRUE.network.at(16))
    assert found.restore[Encoding.FRAME].at(16) == pytest.approx(2.6)
    assert found.broker_record == TRUE.broker_record


def test_sizes_are_those_of_the_log():
    found = sizes_of(RUNS)

    assert found.record[Encoding.READING].at(8) == pytest.approx(40 + 88)
    assert (found.state, found.incident) == (1_200, 2_000)


def test_a_sensor_s_memory_is_what_more_sensors_take_besides_their_windows():
    found = memory_of(RUNS, driver_mb=700)

    window = 31 * 9 * 8
    assert found.sensor_bytes == pytest.approx(5_000 - window)
    assert found.worker_mb == pytest.approx(1_001)


def test_every_cost_of_the_model_is_moved_by_some_case():
    # Otherwise the fit would make it up.
    cases = list(CASES.values())
    for left, right in itertools.combinations(DetectorKind, 2):
        assert {c.detector for c in cases} >= {left, right}
    for kind in Encoding:
        assert len({c.channels for c in cases if c.encoding is kind}) > 1
    for detector in DetectorKind:
        assert len({c.channels for c in cases if c.detector is detector}) > 1
    frames = {c.frame_readings for c in cases if c.encoding is Encoding.FRAME}
    assert len(frames) > 1
    assert max(c.sensors for c in cases) >= 50 * min(c.sensors for c in cases)


def test_a_case_is_measured_when_its_windows_are_full():
    for case in (*CASES.values(), *CHECKS.values(), *WORKED.values()):
        assert case.sensors * case.detector.receptive_field <= case.warm < 0.95 * case.readings
        assert shrunk(case).readings < case.readings


def test_a_cost_is_of_what_came_after_the_warm_up():
    stages = {"poll": 1.0, "decode": 2.0, "score": 5.0}
    warm = Reached(
        readings=1_000,
        commits=10,
        calls=4,
        sent={"d": 100},
        stages=stages,
        main_s=20.0,
        process_s=30.0,
        resident_bytes=1,
        sensors=5,
    )
    end = Reached(
        readings=1_001_000,
        commits=1_010,
        calls=504,
        sent={"d": 50_100, "s": 40_000},
        stages={name: 2 * seconds for name, seconds in stages.items()},
        main_s=36.0,
        process_s=50.0,
        resident_bytes=7,
        sensors=5,
    )

    cost = cost_between(warm, end, topics=TOPICS, case=Case(), broker_s=1.0)

    assert (cost.read, cost.score, cost.publish, cost.wire) == pytest.approx((3, 5, 8, 4))
    assert (cost.sensors, cost.states, cost.commits, cost.calls) == (0.05, 0.04, 0.001, 0.0005)
    assert cost.total == pytest.approx(20)


def test_the_constants_that_were_made_by_hand_for_tests_are_whole():
    assert round_figures().processor.score[DetectorKind.FULL].at(3) == 40
