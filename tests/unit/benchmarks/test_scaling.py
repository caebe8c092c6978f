"""What the scaling benchmark says of its samples."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from benchmarks.scaling import QUICK, STEPS, Step, row_of
from benchmarks.scaling_picture import Sample, draw, rate_of


def sample(at_s, *, lag=0, wanted=1, present=1, done=0, rate=100.0):
    return Sample(
        at_s=at_s,
        step=0,
        rate=rate,
        sent=done + lag,
        done=done,
        lag=lag,
        wanted=wanted,
        present=present,
    )


def test_a_row_says_when_workers_came_and_when_nothing_waited_any_more():
    samples = [
        sample(50.0),
        sample(60.0, lag=900),
        sample(61.0, lag=1_500, wanted=2),
        sample(70.0, lag=200, wanted=2, present=2),
        sample(80.0, lag=90, wanted=2, present=2),
    ]

    row = row_of(Step(load=1.4, seconds=30), samples)

    assert (row["workers"], row["most"], row["first s"]) == (2, 2, 11.0)
    # Less than a second of the load waits always.
    assert (row["lag, most"], row["lag, end"], row["late s"]) == (1_500, 90, 20.0)


def test_a_quiet_step_has_no_first_change_and_is_not_late():
    row = row_of(Step(load=0.3, seconds=3), [sample(0.0), sample(1.0), sample(2.0)])

    assert (row["first s"], row["late s"]) == (None, 0.0)


def test_the_load_doubles_beyond_one_worker_and_goes():
    for steps in (STEPS, QUICK):
        loads = [step.load for step in steps]
        assert loads[0] < 1 < max(loads)
        assert max(b / a for a, b in pairwise(loads)) >= 2
        assert loads[-1] < loads[0]


def test_a_rate_is_of_the_last_seconds():
    at_s = np.arange(0.0, 20.0)
    done = np.where(at_s < 10, 0.0, (at_s - 10) * 100)

    rates = rate_of(at_s, done)

    assert rates[9] == 0
    assert rates[-1] == 100
    assert rates[0] == 0


def test_the_picture_is_written(tmp_path):
    samples = [sample(float(t), lag=10 * t, done=100 * t) for t in range(10)]

    path = draw(samples, tmp_path / "scaling.png")

    assert path.read_bytes().startswith(b"\x89PNG")
