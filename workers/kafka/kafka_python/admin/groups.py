"""What the broker knows of a consumer group and of a topic: for looking, never for the stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import MemberToRemove, OffsetSpec
from kafka.errors import (
    CoordinatorNotAvailableError,
    GroupIdNotFoundError,
    NoError,
    UnknownMemberIdError,
)

from workers.kafka.client import CommittedOffset
from workers.kafka.kafka_python.errors import asking
from workers.kafka.kafka_python.options import Connection

__all__ = ["Group", "Member", "describe_group", "remove_members", "topic_bounds"]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member of a group.

    Attributes:
        member_id: given by the broker.
        client_id: given by the client.
        host: where it connects from.
        partitions: of the topic asked for, ascending.
    """

    member_id: str
    client_id: str
    host: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A consumer group as the broker sees it.

    Attributes:
        name: of the group.
        state: "Stable", "Empty", "PreparingRebalance", ...; "Unknown" when it was never there.
        members: those that are in it now.
        committed: positions of the topic asked for, by partition.
    """

    name: str
    state: str
    members: tuple[Member, ...]
    committed: Mapping[int, CommittedOffset]


def describe_group(connection: Connection, group: str, topic: str) -> Group:
    """A group's members and positions in one topic.

    Raises:
        BrokerUnavailableError: no broker answers.
        SettingsError: it refuses us.
    """
    with asking(f"looking up the group {group}"):
        admin = KafkaAdminClient(**connection.admin_options())
        try:
            found = _described(admin, group)
            offsets = _offsets(admin, group)
        finally:
            admin.close()
    state = str(found.get("group_state") or "")
    return Group(
        name=group,
        state="Unknown" if state in {"", "Dead"} else state,
        members=tuple(_member(one, topic) for one in found.get("members") or ()),
        committed={
            tp.partition: CommittedOffset(next_offset=at.offset, metadata=at.metadata or "")
            for tp, at in sorted(offsets.items())
            if tp.topic == topic and at.offset >= 0
        },
    )


def remove_members(connection: Connection, group: str, members: Iterable[str]) -> None:
    """Take static members out of a group, so that others get their partitions at once.

    Who is not there is no error. One that still runs loses its partitions, and comes back at its
    next poll.

    Args:
        connection: the broker.
        group: their group.
        members: their names, `SourceConfig.member`.

    Raises:
        BrokerUnavailableError: no broker answers, or it could not do it now: ask again.
        SettingsError: it refuses us.
    """
    leaving = [MemberToRemove(group_instance_id=member) for member in members]
    if not leaving:
        return
    with asking(f"removing members of the group {group}"):
        admin = KafkaAdminClient(**connection.admin_options())
        try:
            outcomes = admin.remove_group_members(group, leaving)
        except (CoordinatorNotAvailableError, GroupIdNotFoundError, UnknownMemberIdError):
            return  # a broker that never had a group, or does not have this one
        finally:
            admin.close()
        for outcome in outcomes.values():
            if outcome not in {NoError, UnknownMemberIdError}:
                raise outcome


def topic_bounds(
    connection: Connection, partitions: Mapping[str, int]
) -> Mapping[tuple[str, int], tuple[int, int]]:
    """First and end offset of every partition of some topics.

    Args:
        connection: the broker.
        partitions: number of partitions of each topic.

    Raises:
        BrokerUnavailableError: no broker answers.
        TopicError: a topic or partition is not there.
    """
    wanted = [TopicPartition(name, p) for name, count in partitions.items() for p in range(count)]
    if not wanted:
        return {}
    with asking("looking up the ends of the topics"):
        admin = KafkaAdminClient(**connection.admin_options())
        try:
            first, end = (
                admin.list_partition_offsets(dict.fromkeys(wanted, spec))
                for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
            )
        finally:
            admin.close()
    return {(tp.topic, tp.partition): (first[tp].offset, end[tp].offset) for tp in wanted}


def _described(admin: Any, group: str) -> Mapping[str, Any]:
    """The broker's description; empty for a group that it does not know."""
    try:
        described: Mapping[str, Mapping[str, Any]] = admin.describe_groups([group])
    except (CoordinatorNotAvailableError, GroupIdNotFoundError):
        # A broker that never had a group has no coordinator yet.
        return {}
    return described.get(group) or {}


def _offsets(admin: Any, group: str) -> Mapping[TopicPartition, Any]:
    try:
        found: Mapping[str, Mapping[TopicPartition, Any]] = admin.list_group_offsets({group: None})
    except (CoordinatorNotAvailableError, GroupIdNotFoundError):
        return {}
    return found.get(group) or {}


def _member(one: Mapping[str, Any], topic: str) -> Member:
    assignment = one.get("member_assignment")
    assigned = assignment.get("assigned_partitions", ()) if isinstance(assignment, dict) else ()
    return Member(
        member_id=str(one.get("member_id", "")),
        client_id=str(one.get("client_id", "")),
        host=str(one.get("client_host", "")).lstrip("/"),
        partitions=tuple(
            sorted(p for part in assigned if part["topic"] == topic for p in part["partitions"])
        ),
    )
