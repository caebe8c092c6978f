"""Sensors in several partitions: found when they are there at once, not when they moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.partitions import batch_of, make_partition, reading
from workers.stream.state.sensor_spans import (
    MOST_EXAMPLES,
    SensorSpans,
    Span,
    SplitSensors,
    split_sensors,
)

Way = Callable[[str, int], int]
"""Sensor and number of the reading -> partition."""
MANY = 10_000


def told(
    sensors: Sequence[str],
    times: Sequence[int],
    way: Way,
    *,
    most: int = MANY,
    max_restore_records: int = 2**62,
) -> list[tuple[int, SensorSpans]]:
    """What partitions tell of readings that come in this order and are placed in this way."""
    records: dict[int, list[tuple[str, int]]] = {}
    for time in times:
        for sensor in sensors:
            records.setdefault(way(sensor, time), []).append((sensor, time))
    spans = []
    for partition, arrived in sorted(records.items()):
        state = make_partition(receptive_field=4, max_restore_records=max_restore_records)
        for start in range(0, len(arrived), 7):
            batch = [reading(*one) for one in arrived[start : start + 7]]
            state.polled(batch_of(batch, start=start))
        spans.append((partition, state.spans(most)))
    return spans


def names(number: int) -> list[str]:
    return [f"pump-{n}" for n in range(number)]


def by_sensor(sensor: str, _: int) -> int:
    return sum(sensor.encode()) % 3


def round_robin(partitions: int = 3) -> Way:
    turn = count()
    return lambda *_: next(turn) % partitions


def at_random(seed: int = 1) -> Way:
    rng = Random(seed)
    return lambda *_: rng.randrange(3)


@pytest.mark.parametrize("way", [round_robin(2), round_robin(3), at_random()])
def test_records_without_a_key_split_every_sensor(way):
    found = split_sensors(told(names(7), range(100), way))

    assert (found.sensors, found.share) == (7, 1)
    assert len(found.examples) == MOST_EXAMPLES
    assert all(len(places) > 1 for places in found.examples.values())


def test_a_sensor_that_keeps_its_partition_is_not_split():
    assert split_sensors(told(names(50), range(100), by_sensor)) == SplitSensors()


@pytest.mark.parametrize("moved_at", [1, 2, 50, 98, 99])
def test_a_sensor_that_moved_is_not_split(moved_at):
    """Partitions were added, or it has another key since."""
    found = told(names(5), range(100), lambda _, time: int(time >= moved_at))

    assert split_sensors(found).sensors == 0


def test_a_sensor_that_moved_back_is_split_once_it_has_come_in_both_for_long_enough():
    def way(_: str, time: int) -> int:
        return int(40 <= time < 70)

    assert split_sensors(told(["a"], range(75), way)).sensors == 1
    assert split_sensors(told(["a"], range(71), way)).sensors == 1
    assert split_sensors(told(["a"], range(200), way)).sensors == 0, "it is long over"


def test_two_producers_with_two_partitioners_split_only_what_both_send():
    turn = count()

    def way(sensor: str, _: int) -> int:
        return next(turn) % 2 if sensor == "pump-3" else 0

    found = split_sensors(told(names(9), range(40), way))

    assert (found.sensors, found.examples) == (1, {"pump-3": (0, 1)})


def test_a_producer_that_breaks_after_weeks_is_found_at_once():
    turn = count()

    def way(_: str, time: int) -> int:
        return next(turn) % 3 if time > 10_000 else 0

    assert split_sensors(told(["a"], [*range(0, 10_000, 10), *range(10_001, 10_040)], way)).sensors


def test_it_is_over_when_it_has_come_in_one_partition_for_as_long_as_in_two():
    def way(_: str, time: int) -> int:
        return time % 2 if time < 100 else 0

    assert split_sensors(told(["a"], range(150), way)).sensors == 1
    assert split_sensors(told(["a"], range(300), way)).sensors == 0


def test_it_is_over_when_the_other_partition_forgets_it():
    def way(sensor: str, time: int) -> int:
        return (time % 2 if time < 100 else 0) if sensor == "a" else 1

    def sensors(times: range) -> int:
        return split_sensors(told(["a", "b"], times, way, max_restore_records=100)).sensors

    assert sensors(range(110)) == 1
    assert sensors(range(190)) == 0


def test_a_partition_that_lags_behind_accuses_nobody():
    """Its worker still reads what came before the sensor moved."""
    behind = SensorSpans.of({"a": Span(0, 100)})
    ahead = SensorSpans.of({"a": Span(90, 5000)})

    assert split_sensors([(0, behind), (1, ahead)]).sensors == 0


def test_a_partition_that_is_handed_over_is_one_partition():
    """Its old and its new owner both tell it for a while."""
    before = SensorSpans.of({"a": Span(0, 100)})
    after = SensorSpans.of({"a": Span(40, 120)})

    assert split_sensors([(0, before), (0, after)]) == SplitSensors()


def test_of_a_partition_that_is_handed_over_both_owners_count():
    before = (0, SensorSpans.of({"a": Span(0, 100)}))
    after = (0, SensorSpans.of({"a": Span(120, 120)}))
    other = (1, SensorSpans.of({"a": Span(0, 120)}))

    for order in ([before, after, other], [after, before, other]):
        assert split_sensors(order).sensors == 1


def test_one_reading_in_each_partition_says_nothing():
    assert split_sensors(told(["a"], [1, 2, 3], lambda _, time: time)).sensors == 0


def test_a_large_fleet_is_told_by_a_bounded_sample_that_every_partition_takes_alike():
    sensors = names(2_000)
    sample = told(sensors, range(12), round_robin(7), most=100)
    found = split_sensors(sample)

    assert all(len(one.sensors) <= 100 for _, one in sample)
    assert found.share >= 16
    assert len(sensors) / 2 < found.sensors < len(sensors) * 2
    assert split_sensors(told(sensors, range(12), by_sensor, most=100)).sensors == 0


def test_samples_of_two_sizes_are_compared_on_the_smaller_one():
    sensors = names(500)
    ((_, large),) = told(sensors, range(9), lambda *_: 0)
    ((_, small),) = told(sensors, range(9), lambda *_: 1, most=20)
    found = split_sensors([(0, large), (1, small)])

    assert found.sensors == len(small.sensors) * small.share
    assert found.share == small.share


def test_what_two_partitions_tell_in_full_is_not_multiplied_by_the_sample_of_a_third():
    large = told(names(501), range(40), round_robin(2))
    ((_, small),) = told(names(800), range(3), lambda *_: 2, most=40)
    found = split_sensors([*large, (2, small)])

    assert found.share == small.share >= 16
    assert 250 < found.sensors < 1_000


def test_a_sensor_that_appears_takes_nothing_from_the_span_of_another():
    state = make_partition(receptive_field=4)
    state.polled(batch_of([reading("a", time) for time in range(5)]))
    state.polled(batch_of([reading("a", 5), reading("b", 5), reading("a", 6)], start=5))
    state.polled(batch_of([reading("b", 7), reading("a", 6)], start=8))

    assert dict(state.spans(MANY).spans()) == {"a": Span(0, 6), "b": Span(5, 7)}


def test_names_that_were_made_to_stay_in_the_sample_do_not_make_it_larger(monkeypatch):
    monkeypatch.setattr("workers.stream.state.sensor_spans.crc32", lambda _: 0)
    ((_, sample),) = told(names(50), range(3), lambda *_: 0, most=10)

    assert len(sample.sensors) == 10


def test_a_sample_begins_anew_when_sensors_are_forgotten():
    """Rows are numbered anew then, and those that are left may fit."""
    state = make_partition(receptive_field=4, max_restore_records=100)
    first = [reading(sensor, 0) for sensor in names(80)]
    state.polled(batch_of([*first, reading("late", 0)]))
    assert "late" not in state.spans(10).sensors
    for start in range(81, 500, 9):
        state.polled(batch_of([reading("late", start + n) for n in range(9)], start=start))

    assert state.windows.sensors == 1
    assert set(state.spans(10).sensors) == {"late"}


placed = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), min_size=1, max_size=60)


@given(placed)
def test_what_is_found_is_in_several_partitions_and_the_order_of_telling_is_no_matter(readings):
    records: Mapping[int, list[tuple[str, int]]] = {0: [], 1: [], 2: []}
    for time, (sensor, partition) in enumerate(readings):
        records[partition].append((sensor, time))
    sample = [
        (partition, SensorSpans.of(spans_of(arrived))) for partition, arrived in records.items()
    ]
    found = split_sensors(sample)

    assert split_sensors(reversed(sample)) == found
    for sensor, places in found.examples.items():
        assert len(places) > 1
        # While it came in one of them, it came in another too.
        runs = [at for one, at in readings if one == sensor]
        assert sum(a != b for a, b in pairwise(runs)) > 1


def spans_of(arrived: Sequence[tuple[str, int]]) -> dict[str, Span]:
    spans: dict[str, Span] = {}
    for sensor, time in arrived:
        spans[sensor] = Span(spans[sensor].first_ns if sensor in spans else time, time)
    return spans
