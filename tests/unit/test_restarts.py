"""Restarts back off, and a crash loop ends."""

from __future__ import annotations

from workers.stream.restarts import RestartPolicy


def test_each_restart_waits_longer() -> None:
    policy = RestartPolicy(limit=10, window_s=100.0)
    assert [policy.failed(float(t)) for t in range(4)] == [0.2, 0.4, 0.8, 1.6]


def test_no_restart_waits_longer_than_the_longest_delay() -> None:
    policy = RestartPolicy(limit=100, window_s=1e9, longest_delay_s=3.0)
    assert max(policy.failed(float(t)) or 0.0 for t in range(50)) == 3.0


def test_too_many_failures_in_the_window_are_a_crash_loop() -> None:
    policy = RestartPolicy(limit=2, window_s=10.0)
    assert [policy.failed(t) is None for t in (0.0, 1.0, 2.0)] == [False, False, True]


def test_failures_long_ago_are_forgotten() -> None:
    policy = RestartPolicy(limit=1, window_s=10.0)
    assert policy.failed(0.0) == 0.2
    assert policy.failed(11.0) == 0.2
