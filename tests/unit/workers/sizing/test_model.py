"""The model of `vigie size`: reckoned by hand for round figures, and what holds for all fleets."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sizing import round_figures
from workers.sizing.answer import size
from workers.sizing.fleet import Fleet
from workers.sizing.measured import DetectorKind, Encoding, our_figures
from workers.sizing.model import (
    TooMuchError,
    cost_per_reading,
    crowding,
    kafka_for,
    partitions_for,
    readings_at_once,
    workers_for,
)

FIGURES = round_figures()

fleets = st.builds(
    Fleet,
    sensors=st.integers(1, 20_000_000),
    channels=st.integers(1, 64),
    every_s=st.sampled_from([0.1, 1.0, 60.0, 3600.0]),
    encoding=st.sampled_from(Encoding),
    frame_readings=st.sampled_from([1, 10, 100]),
    detector=st.sampled_from(DetectorKind),
    gpu=st.booleans(),
    busy=st.floats(0.2, 0.8),
    recover_s=st.floats(120.0, 3600.0),
)


def answered(fleet):
    try:
        return size(fleet, our_figures())
    except TooMuchError:
        return None


def test_a_reading_costs_the_sum_of_its_stages():
    cost = cost_per_reading(Fleet(sensors=1000), FIGURES)

    assert (cost.read, cost.score, cost.publish) == (20.0, 40.0, 40.0)
    assert cost.total == 100.0


def test_a_frame_shares_what_its_record_costs():
    fleet = Fleet(sensors=1000, encoding=Encoding.FRAME, frame_readings=10)

    assert cost_per_reading(fleet, FIGURES).read == 1.0 + 110.0 / 10
    assert cost_per_reading(fleet, FIGURES).publish == 10.0 + 30.0 / 10


@pytest.mark.parametrize(("every_s", "at_once"), [(1.0, 1.0), (0.2, 1.0), (0.02, 10.0)])
def test_what_comes_between_two_commits_is_published_together(every_s, at_once):
    assert readings_at_once(Fleet(sensors=10, every_s=every_s)) == pytest.approx(at_once)


def test_the_load_decides_when_windows_are_short():
    fleet = Fleet(sensors=6_000_000, every_s=100.0, detector=DetectorKind.PLAIN, busy=0.6)

    found = workers_for(replace(fleet, recover_s=3600), FIGURES, us_per_reading=100.0, start_s=10.0)

    # 60,000 readings/s of 100 us are 6 s of a core each second, 10 cores 60 % busy; keys spread
    # unevenly: one more.
    assert (found.by_processor, found.needed) == (11, 11)


def test_recovery_decides_when_windows_are_long():
    fleet = Fleet(sensors=100_000, every_s=1000.0, recover_s=100.0, busy=0.6)

    found = workers_for(fleet, FIGURES, us_per_reading=100.0, start_s=10.0)

    # 255 readings of 10 us are 2.55 ms a sensor; 100 s less what catching up takes less the start
    # are 30 s: 8.5 workers, were all equally full.
    assert (found.by_processor, found.by_recovery) == (1, 9)
    assert found.recovered_s <= fleet.recover_s


def test_the_fullest_of_many_places_is_as_full_as_chance_makes_it():
    rng = np.random.default_rng(1)
    for places, sensors in ((4, 200), (50, 1_000), (500, 100_000)):
        fullest = [
            np.bincount(rng.integers(0, places, sensors), minlength=places).max()
            for _ in range(200)
        ]
        expected = crowding(places, sensors) * sensors / places
        assert np.quantile(fullest, 0.2) <= expected <= 1.2 * np.quantile(fullest, 0.99)


def test_a_sensor_faster_than_a_worker_is_refused_with_a_way_out():
    with pytest.raises(TooMuchError, match=r"10,000 readings/s, and a worker takes 6,000.*frames"):
        workers_for(Fleet(sensors=1, every_s=1e-4), FIGURES, us_per_reading=100.0, start_s=1.0)


def test_a_recovery_that_cannot_be_names_the_least_that_can():
    fleet = Fleet(sensors=1_000, recover_s=20.0)
    with pytest.raises(TooMuchError, match=r"recovery within 20 s.*Allow (26) s") as refused:
        workers_for(fleet, FIGURES, us_per_reading=100.0, start_s=10.0)
    assert "--recover" in str(refused.value)

    workers_for(replace(fleet, recover_s=26), FIGURES, us_per_reading=100.0, start_s=10.0)


def test_partitions_are_a_multiple_of_the_workers_with_room_to_grow():
    assert partitions_for(Fleet(sensors=1, growth=2.0), 30) == 60
    assert partitions_for(Fleet(sensors=1, growth=1.5), 30) == 60
    assert partitions_for(Fleet(sensors=1), 1) == 4
    assert partitions_for(Fleet(sensors=1), 6_000) == 6_000
    with pytest.raises(TooMuchError, match="10,000 partitions"):
        partitions_for(Fleet(sensors=1), 10_001)


def test_brokers_bear_what_is_written_its_copies_and_what_is_read():
    fleet = Fleet(sensors=1_000_000, replication=3, incidents_per_week=0)

    found = kafka_for(fleet, FIGURES, partitions=100)

    # 100 bytes in, 50 + 50 cleaned, 1,000 of state, a million times a second.
    assert found.written_mb_s == pytest.approx(1_200)
    assert found.network_mb_s == pytest.approx(1_200 * (3 + 2 + 1))
    assert found.brokers == 72
    # State is compacted: it grows by nothing.
    assert found.disk_gb_per_day == pytest.approx(200 * 3 * 86_400 * 1e6 / 1e9)


@given(fleet=fleets)
def test_no_worker_is_busier_than_wanted_and_none_recovers_too_late(fleet):
    answer = answered(fleet)
    if answer is None:
        return
    workers = answer.workers
    assert workers.per_s * answer.us_per_reading / 1e6 <= fleet.busy * 1.02
    assert workers.recovered_s <= fleet.recover_s * 1.02
    assert answer.partitions >= workers.needed
    assert answer.partitions % workers.needed == 0 or answer.partitions == 4


@given(fleet=fleets, more=st.integers(2, 10))
def test_more_sensors_never_need_less(fleet, more):
    few, many = answered(fleet), answered(replace(fleet, sensors=fleet.sensors * more))
    if few is None or many is None:
        return
    assert many.workers.needed >= few.workers.needed
    assert many.partitions >= few.partitions
    assert many.kafka.brokers >= few.kafka.brokers
    assert many.kafka.disk_gb > few.kafka.disk_gb
    assert many.memory_gb > few.memory_gb


@given(fleet=fleets)
def test_every_window_fits_into_what_a_restore_reads(fleet):
    answer = answered(fleet)
    if answer is None:
        return
    records = answer.fleet.sensors / answer.partitions * fleet.restored_readings
    assert answer.restore_records >= 2 * records / fleet.readings_per_record
    assert answer.restore_age_s >= 2 * fleet.restored_readings * fleet.every_s


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"sensors": 0}, "sensors must be in 1"),
        ({"every_s": 0.0}, "every must be in"),
        ({"every_s": math.nan}, "every must be in"),
        ({"channels": 100_000}, "channels must be in"),
        ({"busy": 1.0}, "busy must be in 0.05..0.95, got 1"),
        ({"retention_s": 1.0}, "retention must be in 60"),
    ],
)
def test_a_number_out_of_range_is_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        Fleet(**{"sensors": 10, **wrong})
