"""Restarts back off, spread out, and a crash loop ends."""

from __future__ import annotations

from random import Random

import pytest

from workers.supervision.restarts import RestartPolicy


def policy(*, limit: int, window_s: float, jitter: float = 0.0, seed: int = 0) -> RestartPolicy:
    return RestartPolicy(limit=limit, window_s=window_s, rng=Random(seed), jitter=jitter)


def test_each_restart_waits_longer() -> None:
    steady = policy(limit=10, window_s=100.0)
    assert [steady.failed(float(t)) for t in range(4)] == [0.2, 0.4, 0.8, 1.6]


def test_no_restart_waits_longer_than_the_longest_delay() -> None:
    patient = policy(limit=5000, window_s=1e9)
    assert max(patient.failed(float(t)) or 0.0 for t in range(3000)) == patient.longest_delay_s


def test_too_many_failures_in_the_window_are_a_crash_loop() -> None:
    short = policy(limit=2, window_s=10.0)
    assert [short.failed(t) is None for t in (0.0, 1.0, 2.0)] == [False, False, True]


def test_failures_long_ago_are_forgotten() -> None:
    short = policy(limit=1, window_s=10.0)
    assert short.failed(0.0) == 0.2
    assert short.failed(11.0) == 0.2


def test_jitter_takes_up_to_its_share_away() -> None:
    spread = policy(limit=1000, window_s=0.5, jitter=0.5)
    delays = [spread.failed(float(t)) or 0.0 for t in range(500)]
    assert 0.1 <= min(delays) < 0.105
    assert 0.195 < max(delays) <= 0.2


def test_workers_that_die_together_come_back_apart_and_a_seed_repeats_it() -> None:
    first, second, again = (
        policy(limit=9, window_s=9.0, jitter=0.5, seed=seed) for seed in (1, 2, 1)
    )
    delays = [one.failed(0.0) for one in (first, second, again)]
    assert delays[0] != pytest.approx(delays[1])
    assert delays[0] == delays[2]
