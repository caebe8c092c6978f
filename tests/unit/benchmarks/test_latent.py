"""The plant's equations, by which the latent benchmark judges what was made."""

import numpy as np
import pytest

from benchmarks.latent.pumps import DIRECT, STATES, Equations, simulate, states
from workers.plant.physics import CHANNEL_NAMES, NOISE, NOMINAL_SPEED_RPM


@pytest.fixture(scope="module")
def windows():
    return simulate(machines=2, rows=1024, seed=5).windows(32, every=32)


@pytest.fixture(scope="module")
def equations():
    return Equations(machines=2, seed=5)


def test_the_truth_obeys_the_equations_and_another_pump_s_do_not_hold(windows, equations):
    assert equations.residual(windows.clean, windows.machine).max() < 1e-9
    assert np.median(equations.residual(windows.clean, 1 - windows.machine)) > 1


def test_a_channel_that_is_off_by_its_noise_is_off_by_half(windows, equations):
    """The root of the mean of one square out of four."""
    pressure = CHANNEL_NAMES.index("pressure")
    moved = windows.clean.copy()
    moved[:, :, pressure] += NOISE[pressure]

    assert equations.residual(moved, windows.machine) == pytest.approx(0.5)


def test_no_change_gives_the_window_itself_and_a_change_from_itself_the_changed(windows, equations):
    one, other = windows.take(np.array([3])), windows.take(np.array([9]))

    assert equations.moved(other, other, one) == pytest.approx(one.clean[:, :, DIRECT])
    assert equations.moved(other, one, one) == pytest.approx(other.clean[:, :, DIRECT])


def test_a_state_is_told_by_the_speed(windows):
    shares = {"low": (0.7, 0.7), "high": (0.95, 0.95), "rising": (0.7, 0.9), "falling": (0.9, 0.7)}
    clean = np.zeros((4, 32, 8))
    for place, (start, end) in enumerate(shares.values()):
        clean[place, :, -1] = np.linspace(start, end, 32) * NOMINAL_SPEED_RPM

    assert [STATES[one] for one in states(clean)] == list(shares)
