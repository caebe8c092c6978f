"""How the members of a group share the partitions of a topic.

kafka-python's cooperative assignor believes what a member *once* owned: a member that the group had
thrown out names its former partitions when it comes back, the leader holds these back "until their
owner gives them up", the owner has nothing to give up, and they stay without an owner until the
next rebalance, which may never come. So sharing is done here, in one pure function, from what each
member holds at the moment it joins, and under which generation it came by that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor, RebalanceProtocol
from kafka.protocol.consumer.metadata import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
)

_WITH_GENERATION: Final = 2  # of the wire format of a subscription


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a member holds when it joins, and the last generation of the group it took part in."""

    partitions: Collection[tuple[str, int]] = ()
    generation: int = -1


def share(
    members: Sequence[str], owners: Mapping[int, str], partitions: Sequence[int]
) -> dict[str, list[int]]:
    """Give each member its partitions for this round.

    Numbers differ by one at most in the end, and no more partitions move than that takes. One that
    moves is given to no member in this round: its owner sees that it is gone, lets go and joins
    again, and the next round gives it away.

    Args:
        members: names, each once, in the order in which they get what is left over.
        owners: who holds a partition now; must be among the members.
        partitions: of the topic.

    Returns:
        For each member its partitions, ascending.
    """
    held: dict[str, list[int]] = {member: [] for member in members}
    for partition in sorted(set(partitions)):
        if partition in owners:
            held[owners[partition]].append(partition)
    least, extra = divmod(len(set(partitions)), len(members))
    richest = sorted(members, key=lambda member: -len(held[member]))  # stable
    room = {member: least + (rank < extra) for rank, member in enumerate(richest)}
    kept = {member: held[member][: room[member]] for member in members}
    free = [partition for partition in sorted(set(partitions)) if partition not in owners]
    # Moving ones take up the room of whom they go to, so that the next round is the last.
    moving = sum(len(held[member]) - len(kept[member]) for member in members)
    for member in sorted(members, key=lambda member: len(kept[member]) - room[member]):
        open_ = room[member] - len(kept[member])
        given, free = free[:open_], free[open_:]
        kept[member] = sorted(kept[member] + given)
        moving -= open_ - len(given)
    assert not free, "every free partition has room somewhere"
    assert moving == 0, "every moving partition has room somewhere"
    return kept


class CooperativeAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """Only what moves is given up; see `share`."""

    name = "vigie-cooperative"

    def __init__(self) -> None:
        # Asked when this member joins, on the client's IO thread.
        self.claims: Callable[[], Claims] = Claims

    def supported_protocols(self) -> list[Any]:
        """Cooperative only."""
        return [RebalanceProtocol.COOPERATIVE]

    def metadata(self, topics: Collection[str]) -> Any:
        """What this member says when it joins."""
        claims = self.claims()
        by_topic: dict[str, list[int]] = defaultdict(list)
        for topic, partition in sorted(claims.partitions):
            by_topic[topic].append(partition)
        owned = ConsumerProtocolSubscription.TopicPartition
        return ConsumerProtocolSubscription(
            version=_WITH_GENERATION,
            topics=sorted(topics),
            user_data=b"",
            owned_partitions=[owned(topic=t, partitions=p) for t, p in by_topic.items()],
            generation_id=claims.generation,
        )

    def assign(self, cluster: Any, members: Sequence[Any]) -> dict[str, Any]:
        """Give every member its partitions for this round; the leader's task."""
        given: dict[str, list[tuple[str, list[int]]]] = {m.member_id: [] for m in members}
        for topic in sorted({topic for member in members for topic in member.metadata.topics}):
            readers = [member for member in members if topic in member.metadata.topics]
            # By name, so that nothing moves because members joined in another order.
            readers.sort(key=lambda m: (m.group_instance_id or "", m.member_id))
            partitions = sorted(cluster.partitions_for_topic(topic) or ())
            shares = share([m.member_id for m in readers], _owners(readers, topic), partitions)
            for member_id, numbers in shares.items():
                given[member_id].append((topic, numbers))
        return {
            member_id: ConsumerProtocolAssignment(1, topics, b"")
            for member_id, topics in given.items()
        }

    def on_assignment(self, assignment: Any, generation: int) -> None:
        """Nothing: what is held is asked for when it is needed."""


def _owners(members: Sequence[Any], topic: str) -> dict[int, str]:
    """Who holds what: of two that say so, the one of the younger generation."""
    claims = sorted(
        (member.metadata.generation_id, member.member_id, partition)
        for member in members
        for owned in member.metadata.owned_partitions or ()
        if owned.topic == topic
        for partition in owned.partitions
    )
    return {partition: member_id for _, member_id, partition in claims}
