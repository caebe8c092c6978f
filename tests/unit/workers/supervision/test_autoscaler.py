"""How many workers the load wants: a table of loads, and simulated plants under changing ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from schemas.settings import WorkerSettings
from workers.supervision.autoscaler import (
    BUSY_SHARE,
    ROOM_SHARE,
    Autoscaler,
    Decision,
    Limits,
    Load,
)
from workers.supervision.status import Kind

RULES = WorkerSettings(scale_out_after_s=10.0, scale_in_after_s=60.0, scaling_pause_s=30.0)
LIMITS = Limits(least=1, most=4)


def decisions(
    *,
    workers: int,
    busy: float,
    rate: float,
    lag: float,
    trend: float = 0.0,
    cpu: float | None = None,
    limits: Limits = LIMITS,
    seconds: int = 60,
) -> list[tuple[int, Decision]]:
    """The decisions, with their times, of a load that is looked at each second."""
    autoscaler = Autoscaler(Kind.INGEST, RULES)
    found = []
    for second in range(seconds + 1):
        load = Load(
            now_s=float(second),
            workers=workers,
            lag_records=max(round(lag + trend * second), 0),
            done_records=round(rate * second),
            busy_s=busy * workers * second,
            cpu_s=(busy if cpu is None else cpu) * workers * second,
        )
        decision = autoscaler.look(load, limits)
        if decision is not None:
            found.append((second, decision))
            break
    return found


@pytest.mark.parametrize(
    ("load", "text"),
    [
        (
            {"workers": 2, "busy": 0.97, "rate": 9_000, "lag": 110_000, "trend": 1_000},
            "lag 120,000 and rising, workers 97 % busy: 2 -> 3 ingest",
        ),
        (
            {"workers": 1, "busy": 1.0, "rate": 10_000, "lag": 5_000_000, "trend": -10_000},
            "lag 4,900,000 and steady, workers 100 % busy: 1 -> 2 ingest",
        ),
        (
            {"workers": 3, "busy": 0.3, "rate": 1_000, "lag": 10},
            "workers 30 % busy for 60 s: 3 -> 2 ingest",
        ),
        (
            {"workers": 2, "busy": 0.0, "rate": 0, "lag": 0},
            "workers 0 % busy for 60 s: 2 -> 1 ingest",
        ),
        (
            {"workers": 4, "busy": 0.95, "cpu": 0.2, "rate": 90, "lag": 0},
            "workers 20 % busy for 60 s: 4 -> 3 ingest",
        ),
        (
            {"workers": 6, "busy": 0.7, "rate": 1_000, "lag": 10},
            "4 is the most that the limits allow: 6 -> 4 ingest",
        ),
        (
            {"workers": 0, "busy": 0.7, "rate": 1_000, "lag": 10},
            "1 is the least that the limits allow: 0 -> 1 ingest",
        ),
    ],
)
def test_a_load_that_calls_for_a_change_gets_it_with_the_reason(load, text) -> None:
    ((_, decision),) = decisions(**load)
    assert decision.text == text


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (
            {"workers": 2, "busy": 0.95, "rate": 9_000, "lag": 2_000},
            "busy, but nothing piles up",
        ),
        (
            {"workers": 2, "busy": 0.5, "rate": 9_000, "lag": 900_000, "trend": 1_000},
            "the workers wait for something else: one partition, the broker, the scorers",
        ),
        (
            {"workers": 2, "busy": 1.0, "rate": 9_000, "lag": 100_000, "trend": -8_000},
            "caught up before help would come",
        ),
        (
            {"workers": 4, "busy": 1.0, "rate": 9_000, "lag": 900_000, "trend": 5_000},
            "no more are allowed",
        ),
        (
            {"workers": 2, "busy": 1.0, "rate": 0, "lag": 900_000, "trend": 5_000},
            "a replay: busy, and nothing done",
        ),
        ({"workers": 2, "busy": 0.4, "rate": 900, "lag": 0}, "one fewer would be 80 % busy"),
        (
            {"workers": 2, "busy": 0.95, "cpu": 0.4, "rate": 900, "lag": 0},
            "one fewer would need 80 % of a processor",
        ),
        ({"workers": 2, "busy": 0.1, "rate": 900, "lag": 9_000}, "idle, and yet records wait"),
        ({"workers": 1, "busy": 0.0, "rate": 0, "lag": 0}, "the last one stays"),
    ],
)
def test_a_load_that_calls_for_no_change_gets_none(load, why) -> None:
    assert decisions(**load) == [], why


def test_nothing_is_decided_before_the_load_was_looked_at_for_long_enough() -> None:
    ((second, _),) = decisions(workers=1, busy=1.0, rate=100, lag=1e6)
    assert second == RULES.scale_out_after_s


def test_an_interruption_begins_the_look_anew() -> None:
    autoscaler = Autoscaler(Kind.INGEST, RULES)
    for second in range(100):
        if second % 9 == 0:
            autoscaler.interrupted()
        load = Load(
            now_s=float(second),
            workers=1,
            lag_records=10**6,
            done_records=100 * second,
            busy_s=second,
            cpu_s=second,
        )
        assert autoscaler.look(load, LIMITS) is None


def test_a_change_by_hand_is_left_alone_for_the_pause() -> None:
    autoscaler = Autoscaler(Kind.INGEST, RULES)
    autoscaler.changed(0.0)
    decided = [
        second
        for second in range(100)
        if autoscaler.look(
            Load(
                now_s=float(second),
                workers=1,
                lag_records=10**6,
                done_records=100 * second,
                busy_s=second,
                cpu_s=second,
            ),
            LIMITS,
        )
    ]
    assert decided[0] == RULES.scaling_pause_s


@pytest.mark.parametrize(("least", "most"), [(-1, 2), (3, 2)])
def test_limits_that_nothing_satisfies_are_rejected(least: int, most: int) -> None:
    with pytest.raises(ValueError, match=r"0 <= least <= most"):
        Limits(least=least, most=most)


@dataclass
class Plant:
    """Workers of equal speed before one log, looked at each second.

    A change of workers costs a standstill (a rebalance) and `replay_s` of one worker's time. A
    worker that has anything to do is busy for `at_least` of its time, waiting for answers.
    """

    capacity: float
    replay_s: float
    at_least: float = 0.0
    limits: Limits = LIMITS
    workers: int = 1
    now: int = 0
    lag: float = 0.0
    done: float = 0.0
    busy_s: float = 0.0
    cpu_s: float = 0.0
    replay_left_s: float = 0.0
    autoscaler: Autoscaler = field(default_factory=lambda: Autoscaler(Kind.INGEST, RULES))
    changes: list[tuple[int, Decision]] = field(default_factory=list)

    def run(self, arriving: float, seconds: int) -> None:
        for _ in range(seconds):
            self._second(arriving)

    def _second(self, arriving: float) -> None:
        self.now += 1
        self.lag += arriving
        replaying = min(self.replay_left_s, float(self.workers))
        self.replay_left_s -= replaying
        room = (self.workers - replaying) * self.capacity
        worked = min(self.lag, room)
        self.lag -= worked
        self.done += worked
        working = replaying + worked / self.capacity
        self.cpu_s += working
        self.busy_s += max(working, self.at_least * self.workers if working else 0.0)
        load = Load(
            now_s=float(self.now),
            workers=self.workers,
            lag_records=round(self.lag),
            done_records=round(self.done),
            busy_s=self.busy_s,
            cpu_s=self.cpu_s,
        )
        decision = self.autoscaler.look(load, self.limits)
        if decision is not None:
            assert decision.before == self.workers
            assert abs(decision.target - decision.before) == 1
            self.changes.append((self.now, decision))
            self.workers = decision.target
            self.replay_left_s += self.replay_s


LOADS = st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(1, 400)), min_size=1, max_size=6)
"""Spells of (arriving records in units of one worker's speed, seconds)."""


@settings(deadline=None, max_examples=60)
@given(
    loads=LOADS,
    replay_s=st.floats(0.0, 40.0),
    start=st.integers(1, 4),
    capacity=st.sampled_from([1.0, 900.0, 60_000.0]),
)
def test_whatever_the_load_changes_keep_apart_and_within_the_limits(
    loads, replay_s, start, capacity
) -> None:
    plant = Plant(capacity=capacity, replay_s=replay_s, workers=start)
    for arriving, seconds in loads:
        plant.run(arriving * capacity, seconds)
        assert LIMITS.least <= plant.workers <= LIMITS.most
    times = [second for second, _ in plant.changes]
    assert all(b - a >= RULES.scaling_pause_s for a, b in itertools.pairwise(times))


@settings(deadline=None, max_examples=40)
@given(
    loads=LOADS,
    replay_s=st.floats(0.0, 3.0),
    final=st.floats(0.0, 3.6),
    at_least=st.sampled_from([0.0, 0.95]),
)
@example(loads=[(3.0, 58), (0.5, 162), (3.0, 5)], replay_s=3.0, final=1.0, at_least=0.0)
def test_a_constant_load_is_settled_for_and_served(loads, replay_s, final, at_least) -> None:
    capacity = 1000.0
    plant = Plant(capacity=capacity, replay_s=replay_s, at_least=at_least)
    for arriving, seconds in loads:
        plant.run(arriving * capacity, seconds)
    plant.lag = min(plant.lag, 200 * capacity)  # retention: a backlog of hours is another test
    plant.run(final * capacity, 3_000)
    before = len(plant.changes)
    plant.run(final * capacity, 1_500)
    assert plant.changes[before:] == [], "it never comes to rest"
    assert plant.lag <= 2 * plant.workers * capacity, "what arrives is not served"
    assert final <= plant.workers * 1.001
    # What one worker can do is the least that it may be: its limit was seen in a look of which a
    # part was a restore, or a lower load; of workers that are busy with waiting any part.
    seen = BUSY_SHARE - replay_s / RULES.scale_out_after_s
    if plant.workers > 1 and not at_least:
        assert final / (plant.workers - 1) > ROOM_SHARE * seen, "more workers than the load wants"


def test_where_stepping_in_costs_a_backlog_it_is_tried_ever_more_seldom() -> None:
    plant = Plant(capacity=1000.0, replay_s=60.0, workers=2)
    plant.run(550.0, 6_000)
    stepped_in = [second for second, decision in plant.changes if decision.target < decision.before]
    assert sum(second < 1_500 for second in stepped_in) >= 4
    assert 1 <= sum(second > 4_500 for second in stepped_in) <= 2


def test_a_backlog_gets_help_which_leaves_when_it_is_gone() -> None:
    plant = Plant(capacity=1000.0, replay_s=2.0)
    plant.lag = 400_000.0
    plant.run(200.0, 1_000)
    targets = [decision.target for _, decision in plant.changes]
    assert targets == [2, 3, 4, 3, 2, 1]
    assert plant.lag == 0


def test_workers_that_are_busy_with_waiting_leave_when_the_load_goes() -> None:
    plant = Plant(capacity=1000.0, replay_s=2.0, at_least=0.95)
    plant.run(2_500.0, 300)
    assert plant.workers >= 3

    plant.run(300.0, 600)

    assert plant.workers == 1
    assert plant.lag == 0
    assert plant.changes[-1][1].text == "workers 15 % busy for 60 s: 2 -> 1 ingest"
