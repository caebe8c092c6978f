"""Partitions that are read to their end say so, now and then."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from schemas.settings import StreamSettings
from tests.support.clock import FakeClock
from workers.errors import BrokerUnavailableError
from workers.stream.dead_letter_limit import DeadLetterLimit
from workers.stream.owned_partition import OwnedPartition
from workers.stream.repartition.idle import IdleMarks
from workers.stream.state.rekey import RekeyRequest, RekeyState, plan_rekey
from workers.stream.state.shuffled import ClockMark


@dataclass
class Ends:
    """A source of which some partitions are at their end."""

    ends: set[int] = field(default_factory=set)
    is_away: bool = False
    asked: int = 0

    def at_end(self, partitions: Collection[int]) -> Collection[int]:
        self.asked += 1
        if self.is_away:
            raise BrokerUnavailableError("away")
        return self.ends.intersection(partitions)


def opened(number: int) -> OwnedPartition:
    owned = OwnedPartition(number, DeadLetterLimit(number, StreamSettings()))
    plan, clock_ms = plan_rekey(None, beginning=0, end=0, fresh="earliest")
    owned.opened(RekeyState(number, plan, clock_ms, mark_every_ms=1))
    return owned


def marks(source: Any, clock: FakeClock) -> IdleMarks:
    return IdleMarks(source, every_s=2.0, monotonic_s=clock, wall_s=clock)


def test_only_partitions_at_their_end_are_as_far_as_the_time() -> None:
    clock, partitions = FakeClock(1000.0), [opened(0), opened(1)]

    (asked,) = marks(Ends({1}), clock)(partitions)

    assert isinstance(asked.request, RekeyRequest)
    assert asked.request.mark == ClockMark(1, 1_000_000)
    assert asked.partition is partitions[1]


def test_the_broker_is_asked_now_and_then_only() -> None:
    clock, source = FakeClock(1000.0), Ends({0})
    idle = marks(source, clock)
    assert [len(idle([opened(0)])), len(idle([opened(0)]))] == [1, 0]

    clock.advance(2.0)

    assert len(idle([opened(0)])) == 1
    assert source.asked == 2


def test_it_is_asked_once_for_all_partitions() -> None:
    """Each question blocks the loop: a hundred partitions must not mean a hundred of them."""
    source = Ends({0, 2})

    requests = marks(source, FakeClock(1000.0))([opened(number) for number in range(3)])

    assert [asked.partition.number for asked in requests] == [0, 2]
    assert source.asked == 1


def test_a_broker_that_is_away_says_nothing_about_the_end() -> None:
    assert marks(Ends({0}, is_away=True), FakeClock(1000.0))([opened(0)]) == []
