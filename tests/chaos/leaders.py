"""Who leads which partition of several brokers, and how to have another one lead."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Final, NamedTuple, TypeVar

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError

from tests.chaos.commits import OFFSETS
from tests.chaos.transactions import STATES
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import admin_options

GROUPS = TopicPartition(OFFSETS, 0)
"""Its leader coordinates every group: the topic has one partition in a run."""
TRANSACTIONS = TopicPartition(STATES, 0)
"""Its leader coordinates every transaction."""

_PREFERRED: Final = 0
_WITHIN_S: Final = 20.0
_TRY_S: Final = 5.0
_LOOK_S: Final = 0.3

T = TypeVar("T")


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

    def ask(admin: Any) -> dict[TopicPartition, Replicas]:
        return {
            TopicPartition(topic["name"], one["partition_index"]): Replicas(
                one["leader_id"], tuple(one["replica_nodes"]), frozenset(one["isr_nodes"])
            )
            for topic in admin.describe_topics()
            for one in topic["partitions"]
        }

    return asked(connection, ask)


def all_in_sync(connection: Connection) -> bool:
    """Whether every copy of every partition has everything."""
    return all(set(one.nodes) == one.in_sync for one in replicas(connection).values())


def move(connection: Connection, wanted: Mapping[TopicPartition, int]) -> None:
    """Make these brokers the preferred leaders, and elect them where they are in sync."""
    now = replicas(connection)

    def ask(admin: Any) -> None:
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

    asked(connection, ask)


def asked(connection: Connection, ask: Callable[[Any], T], *, within_s: float = _WITHIN_S) -> T:
    """Ask until a broker answers: kafka-python asks one, which may be the one that is down.

    Raises:
        KafkaError: of the last try, when none did in time.
    """
    until_s = time.monotonic() + within_s
    while True:
        try:
            with closing(KafkaAdminClient(**admin_options(connection, timeout_s=_TRY_S))) as admin:
                return ask(admin)
        except KafkaError:
            if time.monotonic() > until_s:
                raise
            time.sleep(_LOOK_S)
