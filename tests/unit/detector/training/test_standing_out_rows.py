"""Stretches of a history that would have opened incidents."""

import numpy as np
import pytest

from detector.signal.series import Series
from detector.training.pyramid import PyramidTraining
from detector.training.train import TrainingConfig, train

S = 10**9
START = 1_700_000_000 * S
ROWS = 3_000
FAULT = slice(2_500, 2_520)


def readings(seed=0):
    rng = np.random.default_rng(seed)
    load = np.zeros(ROWS)
    for row in range(1, ROWS):
        load[row] = 0.98 * load[row - 1] + 0.2 * rng.standard_normal()
    noise = 0.3 * rng.standard_normal((ROWS, 2))
    return np.stack([50 + 2 * load, 4 + 0.5 * load], axis=1) + noise


def stretches(*values):
    """What stands out in a training of sensors a, b ... with these readings."""
    series = [
        Series(sensor=name, ts_ns=START + np.arange(ROWS, dtype=np.int64) * S, values=one)
        for name, one in zip("ab", values, strict=False)
    ]
    config = TrainingConfig(
        channels=("flow", "pressure"),
        max_steps=20,
        device="cpu",
        further_views=(PyramidTraining(max_steps=150),),
    )
    return train(series, config).identity.training["standing_out"]


def with_fault(values, *faults):
    changed = values.copy()
    for fault in faults:
        changed[fault, 0] += 40.0
    return changed


def test_a_short_fault_is_named_with_its_times_and_what_it_did_to_the_threshold():
    (found,) = stretches(with_fault(readings(), FAULT))

    assert found["sensor"] == "a"
    assert abs(found["start_ns"] - START - 2_500 * S) <= 2 * S
    assert 0 <= found["end_ns"] - START - 2_519 * S <= 32 * S
    assert found["readings"] == (found["end_ns"] - found["start_ns"]) // S + 1
    assert 0.9 < found["factor"] < 2.0


def test_a_fault_of_one_sensor_is_not_said_of_another():
    found = stretches(readings(), with_fault(readings(1), FAULT))

    assert {one["sensor"] for one in found} == {"b"}


def test_a_healthy_history_has_nothing_that_stands_out():
    assert stretches(readings()) == []


def test_what_happens_all_the_time_is_how_the_sensor_is():
    often = [slice(row, row + 20) for row in range(100, ROWS, 200)]

    assert stretches(with_fault(readings(), *often)) == []


@pytest.mark.parametrize("where", [300, 1_500, 2_980])
def test_it_is_found_in_any_part_of_the_history(where):
    found = stretches(with_fault(readings(), slice(where, where + 20)))

    assert len(found) == 1
    assert abs(found[0]["start_ns"] - START - where * S) <= 2 * S
