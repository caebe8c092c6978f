"""A short fault among the readings that set the threshold is told; a restless sensor is not."""

import numpy as np
import pytest

from detector.calibration.standing_out import LEAST_FACTOR, standing_out
from detector.training.train import train
from tests.support.fleets import make_config, make_fleet, make_series

RATE = 1e-5
N = 600


def features(seed=0):
    """Of two channels, a healthy block: the size of noise, [5, N, 2]."""
    return np.abs(np.random.default_rng(seed).standard_normal((5, N, 2))).astype(np.float32)


@pytest.mark.parametrize("seed", range(20))
def test_a_healthy_block_has_nothing(seed):
    assert standing_out(features(seed), rate=RATE) is None


@pytest.mark.parametrize("stretches", [[(200, 240)], [(100, 130), (400, 440)], [(560, N)]])
def test_one_or_two_short_stretches_far_out_are_found(stretches):
    block = features()
    for start, end in stretches:
        block[0, start:end, 1] += 30

    found = standing_out(block, rate=RATE)

    assert found is not None
    assert [tuple(one) for one in found.stretches] == stretches
    assert found.factor > LEAST_FACTOR


def test_what_happens_again_and_again_is_how_the_sensor_is():
    block = features()
    for start in range(50, 600, 100):
        block[0, start : start + 15, 1] += 30

    assert standing_out(block, rate=RATE) is None


def test_a_long_stretch_is_another_state_of_the_plant():
    block = features()
    block[0, 300:500, 1] += 30

    assert standing_out(block, rate=RATE) is None


def test_a_block_that_never_moves_has_nothing():
    assert standing_out(np.zeros((5, N, 2), np.float32), rate=RATE) is None


@pytest.fixture(scope="module")
def healthy():
    return make_fleet(rows=1500)


def with_fault(fleet, rows):
    values = fleet.noisy[0].copy()
    values[rows, 1] += 8 * values[:, 1].std()
    return [make_series(values), fleet.series()[1]]


def test_a_training_names_the_sensor_and_the_time_of_a_fault_that_blinds_it(healthy):
    training = train(with_fault(healthy, slice(1350, 1365)), make_config()).identity.training

    (one,) = training["standing_out"]
    assert one["sensor"] == "s0"
    assert one["start_ns"] <= 1350 * 10**9
    assert 1364 * 10**9 <= one["end_ns"] <= 1390 * 10**9
    assert one["factor"] > LEAST_FACTOR


def test_without_that_stretch_the_threshold_falls_as_was_told(healthy):
    blind = train(with_fault(healthy, slice(1350, 1365)), make_config())
    told = blind.identity.training["standing_out"][0]
    left = [
        series if series.sensor != "s0" else cut(series, told)
        for series in with_fault(healthy, slice(1350, 1365))
    ]

    sound = train(left, make_config())

    test = healthy.noisy[0][500:700].copy()
    test[100:115, 1] += 8 * test[:, 1].std()
    ends, groups = np.arange(15, 200), np.ones(185, np.int32)
    high = sound.score(test, ends, groups).score.max()
    low = blind.score(test, ends, groups).score.max()
    assert sound.identity.training["standing_out"] == []
    assert high / low == pytest.approx(told["factor"], rel=0.5)


def cut(series, told):
    keep = (series.ts_ns < told["start_ns"]) | (series.ts_ns > told["end_ns"])
    return type(series)(sensor="s0", ts_ns=series.ts_ns[keep], values=series.values[keep])


def test_a_fault_of_a_sensor_without_a_threshold_of_its_own_is_named(healthy):
    """Both are too short for numbers of their own, so the pooled ones are judged."""
    fleet = make_fleet(sensors=6, rows=300)
    values = fleet.noisy[2].copy()
    values[270:280, 1] += 10 * values[:, 1].std()
    series = fleet.series()
    series[2] = make_series(values, sensor="s2")

    training = train(series, make_config()).identity.training

    assert {one["sensor"] for one in training["standing_out"]} == {"s2"}


def test_a_healthy_training_names_nothing(healthy):
    assert train(healthy.series(), make_config()).identity.training["standing_out"] == []
