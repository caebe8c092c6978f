"""The fit of a fusion of logs: what sensors with short histories have of their like."""

import numpy as np
import pytest

from detector.calibration.alarm_numbers import INDEPENDENT, TRUST
from detector.training.fit_logs import shrunk


def make_medians(sensors, distances=3):
    rng = np.random.default_rng(sensors)
    return rng.uniform(0.1, 5, (distances, sensors + 1)).astype(np.float32)


def twin(medians, rows):
    """Number by number: a weighted geometric mean of a sensor's median and the usual one."""
    found = medians.astype(np.float64).copy()
    for distance in range(len(medians)):
        usual = np.exp(np.median(np.log(medians[distance, 1:].astype(np.float64))))
        for sensor, count in enumerate(rows, start=1):
            share = count / INDEPENDENT / (count / INDEPENDENT + TRUST)
            found[distance, sensor] = medians[distance, sensor] ** share * usual ** (1 - share)
    return found


@pytest.mark.parametrize("sensors", [2, 3, 8])
def test_medians_are_those_of_the_twin(sensors):
    medians = make_medians(sensors)
    rows = np.random.default_rng(0).integers(0, 5000, sensors)

    found = shrunk(medians, rows)

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, twin(medians, rows.tolist()), rtol=1e-5)


def test_a_long_history_speaks_for_itself_and_none_for_nobody():
    medians = make_medians(5)

    found = shrunk(medians, np.array([10**9, 0, 512, 512, 512]))

    np.testing.assert_allclose(found[:, 1], medians[:, 1], rtol=1e-4)
    np.testing.assert_allclose(found[:, 2], np.median(medians[:, 1:], axis=1), rtol=1e-4)


def test_two_independent_windows_count_half():
    medians = np.array([[9.0, 1.0, 4.0, 4.0]], dtype=np.float32)

    found = shrunk(medians, np.array([512, 512, 512]))

    np.testing.assert_allclose(found, [[9.0, 2.0, 4.0, 4.0]], rtol=1e-6)


def test_the_pooled_median_and_a_sensor_without_like_stay_as_they_are():
    many, alone = make_medians(4), make_medians(1)

    assert np.array_equal(shrunk(many, np.zeros(4, dtype=np.int64))[:, 0], many[:, 0])
    assert np.array_equal(shrunk(alone, np.zeros(1, dtype=np.int64)), alone)


def test_what_is_given_is_not_changed():
    medians = make_medians(4)
    kept = medians.copy()

    shrunk(medians, np.full(4, 300))

    assert np.array_equal(medians, kept)
