"""Who leads which partition of several brokers, and how to have another one lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, TopicPartition

from tests.chaos.commits import OFFSETS
from tests.chaos.transactions import STATES
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import admin_options

GROUPS = TopicPartition(OFFSETS, 0)
"""Its leader coordinates every group: the topic has one partition in a run."""
TRANSACTIONS = TopicPartition(STATES, 0)
"""Its leader coordinates every transaction."""

_PREFERRED = 0
_WITHIN_S = 15.0


class Replicas(NamedTuple):
    """Who has a partition, by the numbers of the brokers.

    Attributes:
        leader: -1 while there is none.
        nodes: the preferred leader first.
        in_sync: those that have everything.
    """

    leader: int
    nodes: tuple[int, ...]
    in_sync: frozenset[int]


def replicas(connection: Connection) -> dict[TopicPartition, Replicas]:
    """Every partition as the brokers have it now."""
    with _admin(connection) as admin:
        return {
            TopicPartition(topic["name"], one["partition_index"]): Replicas(
                one["leader_id"], tuple(one["replica_nodes"]), frozenset(one["isr_nodes"])
            )
            for topic in admin.describe_topics()
            for one in topic["partitions"]
        }


def all_in_sync(connection: Connection) -> bool:
    """Whether every copy of every partition has everything."""
    return all(set(one.nodes) == one.in_sync for one in replicas(connection).values())


def move(connection: Connection, wanted: Mapping[TopicPartition, int]) -> None:
    """Make these brokers the preferred leaders, and elect them where they are in sync."""
    now = replicas(connection)
    with _admin(connection) as admin:
        admin.alter_partition_reassignments(
            {
                at: [node, *(other for other in now[at].nodes if other != node)]
                for at, node in wanted.items()
            }
        )
        partitions: dict[str, list[int]] = {}
        for at in wanted:
            partitions.setdefault(at.topic, []).append(at.partition)
        admin.elect_leaders(_PREFERRED, partitions, raise_errors=False)


@contextmanager
def _admin(connection: Connection) -> Iterator[Any]:
    admin = KafkaAdminClient(**admin_options(connection, timeout_s=_WITHIN_S))
    try:
        yield admin
    finally:
        admin.close()
