"""What a member knows of its group, between the client's IO thread and its caller."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import FencedInstanceIdError
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment

from workers.errors import TransactionAbortedError
from workers.kafka.kafka_python.consumer.assignor import CooperativeAssignor
from workers.kafka.kafka_python.consumer.membership import Change, Membership, Note


class Note_(Note):  # noqa: N801 - a note that is read while the IO thread takes another
    notes: Any

    def __getattribute__(self, name: str) -> Any:
        if name == "partitions":
            super().__getattribute__("notes").append(Note(Change.REVOKED, frozenset({9})))
        return super().__getattribute__(name)


def test_a_rebalance_during_the_check_of_a_commit_does_no_harm():
    membership = object.__new__(Membership)
    membership.notes = deque()
    membership.held, membership._epochs, membership._topic = {3}, {3: 1}, "t"
    note = Note_(Change.REVOKED, frozenset({3}))
    note.notes = membership.notes
    membership.notes.extend([note, Note(Change.REVOKED, frozenset({4}))])

    with pytest.raises(TransactionAbortedError, match=r"t\[3\]"):
        membership.check_held({3}, {3: 1})


class Coordinator:
    """kafka-python's, as far as a `Membership` looks at it."""

    def __init__(self) -> None:
        self._cluster = SimpleNamespace(partitions_for_topic=lambda _: self.partitions)
        self.partitions: set[int] | None = {0, 1}
        self._heartbeat_loop_future: object | None = object()
        self.is_lost = False
        self._generation = SimpleNamespace(generation_id=1, is_lost=lambda: self.is_lost)
        self.rejoin_needed = False
        self.assignment = b""
        self.subscription: Any = None

    def need_rejoin(self) -> bool:
        return self.rejoin_needed

    def request_rejoin(self) -> None:
        self.rejoin_needed = True

    def reset_generation(self) -> None:
        self.is_lost = True

    def group_protocols(self) -> str:
        return "protocols"

    def group_metadata(self) -> int:
        return int(self._generation.generation_id)

    def _handle_heartbeat_response(self) -> None:
        raise FencedInstanceIdError

    def poll(self, timeout_ms: float | None = None) -> bool:
        return False

    async def _on_join_complete_async(self, *arguments: Any) -> None:
        pass


class Subscription:
    def __init__(self, *partitions: int) -> None:
        self.assign_from_subscribed([TopicPartition("t", p) for p in partitions])

    def assign_from_subscribed(self, partitions: list[Any]) -> None:
        self._assigned = set(partitions)

    def assigned_partitions(self) -> set[Any]:
        return set(self._assigned)

    def fetchable_partitions(self) -> list[Any]:
        return sorted(self._assigned)


@pytest.fixture
def joined() -> Any:
    """A membership with partitions 0 and 1 under generation 1, and its coordinator."""
    coordinator, subscription = Coordinator(), Subscription(0, 1)
    consumer = SimpleNamespace(
        _coordinator=coordinator, _subscription=subscription, pause=lambda *_: None
    )
    membership = Membership(consumer, "t", CooperativeAssignor())
    coordinator.group_protocols()
    membership.on_partitions_assigned(subscription.assigned_partitions())
    join(coordinator, 1, 0, 1)
    membership.apply()
    membership.changes()
    return SimpleNamespace(it=membership, coordinator=coordinator, subscription=subscription)


def join(coordinator: Coordinator, generation: int, *partitions: int) -> None:
    """The broker's answer and what the client makes of it."""
    coordinator._generation.generation_id = generation
    coordinator.is_lost = coordinator.rejoin_needed = False
    given = ConsumerProtocolAssignment(1, [("t", list(partitions))], b"").encode()
    asyncio.run(coordinator._on_join_complete_async(generation, "m", "p", given))


def test_a_generation_is_never_younger_than_the_notes_that_were_applied(joined):
    """The broker names the new generation before anybody hears what was taken away."""
    joined.coordinator._generation.generation_id = 2
    joined.it.apply()
    assert joined.it.generation.token == 1

    joined.subscription.assign_from_subscribed([TopicPartition("t", 0)])
    joined.it.on_partitions_revoked([TopicPartition("t", 1)])
    join(joined.coordinator, 2, 0)
    assert joined.it.generation.token == 1
    joined.it.apply()

    assert joined.it.generation.token == 2
    assert joined.it.changes() == (frozenset(), {1})
    assert set(joined.it.generation.epochs) == {0}


def test_an_assignment_that_the_client_did_not_take_gives_no_generation(joined):
    join(joined.coordinator, 2, 0, 1, 2)
    joined.it.apply()

    assert joined.it.generation.token == 1


def test_who_is_thrown_out_claims_nothing_until_it_is_back(joined):
    old = joined.it.generation
    assert set(joined.it.claims().partitions) == {("t", 0), ("t", 1)}
    joined.coordinator.reset_generation()
    assert not joined.it.claims().partitions
    joined.coordinator.is_lost = False  # the broker has answered, the join is not complete
    assert not joined.it.claims().partitions

    joined.it.apply()
    assert joined.it.changes() == (frozenset(), {0, 1})
    with pytest.raises(TransactionAbortedError, match="taken away"):
        joined.it.check_held([0], old.epochs)


def test_a_heart_that_stopped_and_new_partitions_make_a_member_join_anew(joined):
    joined.it.check()
    assert not joined.coordinator.rejoin_needed
    joined.coordinator.partitions = None  # the client does not know just now
    joined.it.check()
    assert not joined.coordinator.rejoin_needed

    joined.coordinator.partitions = {0, 1, 2}
    joined.it.check()
    assert joined.coordinator.rejoin_needed

    joined.coordinator.group_protocols()
    join(joined.coordinator, 2, 0, 1)
    joined.it.check()
    assert not joined.coordinator.rejoin_needed
    joined.coordinator._heartbeat_loop_future = None
    joined.it.check()
    assert joined.coordinator.rejoin_needed


def test_a_heartbeat_that_finds_itself_fenced_is_told_at_the_next_poll(joined):
    with pytest.raises(FencedInstanceIdError):
        joined.coordinator._handle_heartbeat_response()
    with pytest.raises(FencedInstanceIdError):
        joined.it.check()
