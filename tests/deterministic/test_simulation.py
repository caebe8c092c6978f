"""Promise 1 over random schedules of crash, replay, rebalance, reordering, lost answers and late
requests.

A long run: ``VIGIE_SIMULATIONS=20000 pytest tests/deterministic -k schedule --timeout 0``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.deterministic.clients import TransactionalSimSink
from tests.deterministic.schedule import SCHEDULES, Schedule
from workers.kafka.client import CommittedOffset
from workers.stream.checkpoint import Checkpoint
from workers.stream.owned_partition import OwnedPartition
from workers.stream.state.arrivals import Arrivals
from workers.stream.state.history import SensorWindows
from workers.stream.state.recorded import RecordedState
from workers.stream.state.windows import Sequences, Windows

HOW_MANY = int(os.environ.get("VIGIE_SIMULATIONS", "150"))
PATIENCE = 1000


@given(schedule=SCHEDULES)
@settings(deadline=None, max_examples=HOW_MANY)
def test_no_schedule_changes_a_score(schedule: Schedule) -> None:
    schedule.run_exactly_once()


@given(schedule=SCHEDULES)
@settings(deadline=None, max_examples=HOW_MANY // 3)
def test_no_schedule_loses_a_score_at_least_once(schedule: Schedule) -> None:
    schedule.run_at_least_once()


def test_schedules_are_full_of_trouble() -> None:
    """Else they prove nothing."""
    worlds = [Schedule.of_seed(seed).run_exactly_once() for seed in range(40)]
    assert sum(len(world.zombies) for world in worlds) > 10
    assert sum(world.broker.group.generation for world in worlds) > 100
    assert sum(world.broker.aborted for world in worlds) > 20
    assert sum(len(world.broker.steps) for world in worlds) > 150
    assert sum(world.broker.came_late for world in worlds) > 20


# -- see it fail -----------------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


def commit_past_an_output(patch: pytest.MonkeyPatch) -> None:
    """What was polled is committed, not what was published."""

    committing = OwnedPartition.committing

    def too_far(self: OwnedPartition) -> CommittedOffset:
        committed = committing(self)
        if not self.work or self._in_doubt is None:
            return committed
        self._in_doubt = (self.state.next_offset, self._in_doubt[1])
        return replace(committed, next_offset=self.state.next_offset)

    patch.setattr(OwnedPartition, "committing", too_far)


def newest_generation_for_a_revoked_partition(patch: pytest.MonkeyPatch) -> None:
    """What was published for a partition stays in the checkpoint after the group took it away."""
    patch.setattr(Checkpoint, "on_rebalance", lambda self, generation: self)


def restore_one_record_late(patch: pytest.MonkeyPatch) -> None:
    oldest = SensorWindows.oldest_offset
    patch.setattr(SensorWindows, "oldest_offset", lambda self, default: oldest(self, default) + 1)


def forget_the_shadow(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SensorWindows, "_feed_shadow", lambda self, arrived, accepted: None)


def never_forget(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SensorWindows, "roll", lambda self, begins_at: 0)


def keep_a_producer_that_repeated(patch: pytest.MonkeyPatch) -> None:
    """A late copy of its request then meets a transaction that it does not belong to."""
    patch.setattr(TransactionalSimSink, "_is_settled", lambda self: True)


def never_remove_a_document(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RecordedState, "_forget_before", lambda self, offset: None)


def look_behind_a_restart(patch: pytest.MonkeyPatch) -> None:
    extend = Windows.extend

    def too_long(self: Windows, new: Arrivals) -> Sequences:
        return extend(self, replace(new, restarts=np.zeros_like(new.restarts)))

    patch.setattr(Windows, "extend", too_long)


def forget_the_times_before(patch: pytest.MonkeyPatch) -> None:
    extend = Windows.extend

    def untimed(self: Windows, new: Arrivals) -> Sequences:
        self._times[:] = 0
        return extend(self, new)

    patch.setattr(Windows, "extend", untimed)


@pytest.mark.parametrize(
    ("plant", "first_seed"),  # one is rare: begin to look where it is found soon
    [
        (commit_past_an_output, 0),
        (newest_generation_for_a_revoked_partition, 160),
        (restore_one_record_late, 0),
        (forget_the_shadow, 0),
        (never_forget, 0),
        (keep_a_producer_that_repeated, 0),
        (never_remove_a_document, 0),
        (look_behind_a_restart, 0),
        (forget_the_times_before, 0),
    ],
)
def test_the_simulation_finds_a_planted_bug(
    plant: Plant, first_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(
        AssertionError, match=r"differ|came twice|without its offset|stuck|counts otherwise"
    ):
        run_many(first_seed)


def run_many(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + PATIENCE):
        Schedule.of_seed(seed).run_exactly_once()
