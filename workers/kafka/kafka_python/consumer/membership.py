"""What a group does to one member: noted on the client's IO thread, reported on the caller's.

kafka-python runs rebalance listeners on its IO thread, where every blocking call raises. So ours
only pauses (local, safe) and takes a note; `Membership.apply` acts on the notes afterwards, on the
caller's thread. The notes are in order, and so is what a `Generation` says: its token is that of
the last join *whose notes were applied*. kafka-python's own ``group_metadata`` shows the new
generation as soon as the broker names it, before the caller knows what was taken away: offsets of a
partition that another member reads by now could be committed with it.

What kafka-python leaves open, closed here from outside:

* **Thrown out unnoticed.** A member that is thrown out of the group while it joins comes back as if
  nothing had happened, keeps its partitions, and hears neither ``revoked`` nor ``assigned``,
  although others may have read them meanwhile. Here it loses them at the moment it is thrown out.
* **Fenced unnoticed.** When another member runs under our (static) name, the heartbeat stops and
  nothing else: no error, no rejoin, and the partitions are read on. Here the next poll says so.
* **A heart that stopped.** If the heartbeat's loop ends with an error, one poll raises it, and the
  member is never heard of again, while it reads on. Here it joins anew.
* **New partitions unnoticed.** Only the leader watches for partitions that are added, and a named
  member that comes back is not told that it leads. Here everybody watches, and the leader is among
  them: when it joins again, the broker calls everybody.
* **A standstill while others join.** ``poll`` gives nothing while a join is under way, which takes
  as long as the slowest member. Here the partitions that are kept are read on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from kafka import ConsumerRebalanceListener
from kafka.errors import FencedInstanceIdError
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment

from workers.errors import StaleGenerationError
from workers.kafka.client import Generation
from workers.kafka.kafka_python.consumer.assignor import Claims, CooperativeAssignor
from workers.kafka.kafka_python.workarounds import keep_finished_join

_JOIN_SLICE_MS: Final = 5  # of a poll that reads on, for a join that is under way


class Change(Enum):
    """What a note is about."""

    ASSIGNED = auto()
    REVOKED = auto()
    JOINED = auto()


class Note(NamedTuple):
    """One thing that happened; the token is that of a join."""

    change: Change
    partitions: frozenset[int] = frozenset()
    token: object = None


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member's place in the group; `apply`, then look."""

    def __init__(self, consumer: Any, topic: str, assignor: Any) -> None:
        self._consumer, self._topic = consumer, topic
        self._coordinator = consumer._coordinator  # noqa: SLF001
        self._subscription = consumer._subscription  # noqa: SLF001
        self._cluster = self._coordinator._cluster  # noqa: SLF001
        self.notes: deque[Note] = deque()
        self.held: set[int] = set()
        self.assigned: set[int] = set()  # since `changes`
        self.revoked: set[int] = set()
        self._epochs: dict[int, int] = {}  # how often each partition was assigned to us
        self._token: object = None
        self.generation = Generation(token=None, epochs={})
        # The following belong to the IO thread.
        self._is_out = False  # thrown out, and not back yet
        self._known = 0  # partitions of the topic at the last join
        self._fenced: BaseException | None = None
        if isinstance(assignor, CooperativeAssignor):
            assignor.claims = self.claims
        self._hook()

    # The caller's thread ---------------------------------------------------------------------

    def check(self) -> None:
        """Call before each poll. Cheap.

        Raises:
            FencedInstanceIdError: another member runs under our name.
        """
        if self._fenced is not None:
            raise self._fenced
        coordinator = self._coordinator
        if coordinator.need_rejoin():
            return
        known = self._cluster.partitions_for_topic(self._topic)
        is_heart_still = coordinator._heartbeat_loop_future is None  # noqa: SLF001
        if is_heart_still or (known and len(known) != self._known):
            self.join_again()

    def partitions(self) -> frozenset[int]:
        """Those of the topic, as far as the client knows."""
        return frozenset(self._cluster.partitions_for_topic(self._topic) or ())

    def join_again(self) -> None:
        """Have the group share anew."""
        self._coordinator.request_rejoin()

    def apply(self) -> bool:
        """Act on the notes; true if there were any."""
        if not self.notes:
            return False
        while self.notes:
            change, partitions, token = self.notes.popleft()
            if change is Change.JOINED:
                self._token = token
            elif change is Change.ASSIGNED:
                self._take(partitions)
            else:
                self._give_up(partitions)
        epochs = {partition: self._epochs[partition] for partition in self.held}
        self.generation = Generation(token=self._token, epochs=epochs)
        return True

    def changes(self) -> tuple[frozenset[int], frozenset[int]]:
        """What was assigned and revoked since the last call."""
        changes = frozenset(self.assigned), frozenset(self.revoked)
        self.assigned, self.revoked = set(), set()
        return changes

    def check_held(self, partitions: Iterable[int], epochs: Mapping[int, int]) -> None:
        """See `workers.kafka.client.OffsetCommitter.check_held`."""
        notes = tuple(self.notes)  # at one stroke: the IO thread takes more meanwhile
        changed = frozenset().union(*(note.partitions for note in notes))
        for partition in partitions:
            then, now = epochs.get(partition), self._epochs.get(partition)
            if partition in changed or partition not in self.held or then != now:
                raise StaleGenerationError(
                    f"{self._topic}[{partition}] was taken away since these records were polled."
                )

    def _take(self, partitions: frozenset[int]) -> None:
        for partition in partitions:
            self._epochs[partition] = self._epochs.get(partition, 0) + 1
        # Assigned while it was held: it was away in between, whatever the client says.
        self.revoked |= partitions & (self.held - self.assigned)
        self.held |= partitions
        self.assigned |= partitions

    def _give_up(self, partitions: frozenset[int]) -> None:
        self.revoked |= partitions & (self.held - self.assigned)
        self.assigned -= partitions
        self.held -= partitions

    # The client's IO thread ------------------------------------------------------------------

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Take a note."""
        self.notes.append(Note(Change.REVOKED, _numbers(revoked)))

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        """Take a note."""
        self.on_partitions_revoked(lost)

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Pause, before any fetch can go out: the caller has not named the offset yet."""
        self._consumer.pause(*assigned)
        self.notes.append(Note(Change.ASSIGNED, _numbers(assigned)))

    def claims(self) -> Claims:
        """What this member holds when it joins; see `CooperativeAssignor`."""
        generation = self._coordinator._generation  # noqa: SLF001
        if self._is_out or generation.is_lost():
            return Claims()
        return Claims(
            partitions=[tuple(tp) for tp in self._subscription.assigned_partitions()],
            generation=generation.generation_id,
        )

    def _hook(self) -> None:
        """Have the client's coordinator call us where it makes no call."""
        coordinator = self._coordinator
        self._joining = coordinator.group_protocols
        self._joined = coordinator._on_join_complete_async  # noqa: SLF001
        self._thrown_out = coordinator.reset_generation
        self._heard = coordinator._handle_heartbeat_response  # noqa: SLF001
        self._polled = coordinator.poll
        coordinator.group_protocols = self._on_joining
        coordinator._on_join_complete_async = self._on_joined  # noqa: SLF001
        coordinator.reset_generation = self._on_thrown_out
        coordinator._handle_heartbeat_response = self._on_heartbeat  # noqa: SLF001
        coordinator.poll = self._on_poll

    def _on_joining(self) -> Any:
        self._known = len(self._cluster.partitions_for_topic(self._topic) or ())
        return self._joining()

    async def _on_joined(self, *arguments: Any) -> None:
        if self._is_out:
            self._subscription.assign_from_subscribed([])
            self._is_out = False
        await self._joined(*arguments)
        given = ConsumerProtocolAssignment.decode(arguments[-1]).partitions()
        if set(given) == self._subscription.assigned_partitions():
            self.notes.append(Note(Change.JOINED, token=self._coordinator.group_metadata()))
        # Else the client could not take what it was given (a topic that was deleted) and joins
        # again: until then the broker is to reject our commits.

    def _on_thrown_out(self, *arguments: Any, **named: Any) -> None:
        self._is_out = True
        if held := self._subscription.assigned_partitions():
            self.on_partitions_lost(held)
        self._thrown_out(*arguments, **named)

    def _on_heartbeat(self, *arguments: Any) -> Any:
        try:
            return self._heard(*arguments)
        except FencedInstanceIdError as error:
            self._fenced = error
            raise

    def _on_poll(self, timeout_ms: float | None = None) -> bool:
        """Runs on the caller's thread."""
        keep_finished_join(self._coordinator)
        if not self._coordinator.need_rejoin() or not self._subscription.fetchable_partitions():
            return bool(self._polled(timeout_ms=timeout_ms))
        self._polled(timeout_ms=min(_JOIN_SLICE_MS, timeout_ms or 0))
        return True


def _numbers(partitions: Iterable[Any]) -> frozenset[int]:
    return frozenset(tp.partition for tp in partitions)
