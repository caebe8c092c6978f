"""The ways in which kafka-python 3.0 commits a transaction that lost records, on a real broker.

Each test names the guard that it fails without.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kafka import TopicPartition

from tests.contract.kafka_contract import LEAKS_SOCKETS, fresh_topics, soon
from tests.support.broker import read_settled, suspend
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.broker.embedded import EmbeddedBroker
from workers.errors import BrokerUnavailableError, OutputsLostError
from workers.kafka.client import CommittedOffset, Connection
from workers.kafka.kafka_python.consumer.source import SourceConfig
from workers.kafka.kafka_python.producer.transactional_sink import TransactionalSinkConfig

pytestmark = [pytest.mark.kafka, LEAKS_SOCKETS]


@contextmanager
def unit(
    connection: Connection, topic: str, group: str, **options: Any
) -> Iterator[tuple[Member, Any]]:
    """A member that holds partition 0 of ``topic``, and a sink whose first unit is open."""
    impatient = Connection(bootstrap=connection.bootstrap, options=options)
    config = TransactionalSinkConfig(
        connection=impatient, transactional_id=f"test-{uuid.uuid4().hex[:12]}"
    )
    source_config = SourceConfig(connection=connection, topic=topic, group=group)
    with source_config.open() as source, config.open(source) as sink:
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held == {0}, within=15)
        yield member, sink


def values(connection: Connection, topic: str) -> list[bytes]:
    return [record.value for record in read_settled(connection, topic)]


def send(sink: Any, output: str, *numbers: int) -> None:
    for number in numbers:
        sink.send(output, key=b"k", value=b"%d" % number)


def repeat(member: Member, sink: Any, output: str, numbers: range) -> None:
    """What the loop does after a failure."""
    sink.abort()

    def begins() -> bool:
        try:
            sink.begin()
        except BrokerUnavailableError:  # it was frozen a moment ago
            return False
        return True

    wait_until(begins, within=20)
    assert member.source.committed(0) is None
    member.step()
    send(sink, output, *numbers)
    sink.commit({0: CommittedOffset(next_offset=9)}, member.generation, deadline=soon())


def test_a_batch_that_expired_is_not_committed_past(connection, make_topic, group):
    """Guard: every future is looked at. To the client the transaction without it is a good one."""
    topic, output = make_topic(), make_topic()
    with unit(
        connection, topic, group,
        delivery_timeout_ms=700, request_timeout_ms=600, linger_ms=0,
    ) as (member, sink):  # fmt: skip
        send(sink, output, 0)
        wait_until(sink._futures[0].succeeded, within=10)  # the partition is added
        sink._producer._sender._accumulator.config["linger_ms"] = 100_000  # it waits in the client
        send(sink, output, 1)
        wait_until(sink._futures[1].failed, within=10)
        manager = sink._producer._transaction_manager
        assert manager._current_state.name == "IN_TRANSACTION", "the client sees nothing wrong"

        with pytest.raises(OutputsLostError, match=r"1 of 2 .*KafkaTimeoutError"):
            sink.commit({0: CommittedOffset(next_offset=9)}, member.generation, deadline=soon())
        repeat(member, sink, output, range(2))

    assert values(connection, output) == [b"0", b"1"]


def test_a_sequence_error_does_not_make_a_commit_of_nothing(connection, make_topic, group):
    """Guard: flush before the commit. While it commits, the client takes the error for its end."""
    topic, output = make_topic(), make_topic()
    with unit(connection, topic, group, linger_ms=0) as (member, sink):
        send(sink, output, 0)
        wait_until(sink._futures[0].succeeded, within=10)
        sink._producer._sender._accumulator.config["linger_ms"] = 100_000
        partition = TopicPartition(output, 0)
        sink._producer._transaction_manager.set_sequence_number(partition, 77)
        send(sink, output, 1)

        with pytest.raises(OutputsLostError, match="OutOfOrderSequence"):
            sink.commit({0: CommittedOffset(next_offset=9)}, member.generation, deadline=soon())
        repeat(member, sink, output, range(2))

    assert values(connection, output) == [b"0", b"1"]


def test_nothing_is_taken_into_a_transaction_that_cannot_be_committed_any_more(
    connection, make_topic, group
):
    """Guard: the short way looks at the transaction's state. The client would let it wait for ever
    in a partition that is no part of the transaction."""
    topic, output = make_topic(), make_topic()
    with unit(connection, topic, group, linger_ms=0) as (member, sink):
        send(sink, output, 0)
        wait_until(sink._futures[0].succeeded, within=10)
        sink._producer._transaction_manager.set_sequence_number(TopicPartition(output, 0), 77)
        send(sink, output, 1)
        wait_until(sink._futures[1].failed, within=10)

        with pytest.raises(OutputsLostError):
            send(sink, output, 2)
        repeat(member, sink, output, range(3))

    assert values(connection, output) == [b"0", b"1", b"2"]


def test_a_batch_that_expired_while_it_was_repeated_spoils_nothing_that_comes_after(
    victim: EmbeddedBroker, victim_connection: Connection, group: str
):
    """Guard: every future is looked at, under a deadline. The client's sender stumbles over the
    batch; what it had taken in hand with it is neither sent nor failed, and the rest is fine."""
    topic, output = fresh_topics(victim_connection, 2)
    with unit(
        victim_connection, topic, group,
        delivery_timeout_ms=1500, request_timeout_ms=500, linger_ms=0,
    ) as (member, sink):  # fmt: skip
        send(sink, output, 0)
        wait_until(sink._futures[0].succeeded, within=10)
        manager = sink._producer._transaction_manager
        reset, stumbled = manager.reset_producer_id, threading.Event()

        def stumble() -> None:
            stumbled.set()
            reset()

        manager.reset_producer_id = stumble
        suspend(victim)
        try:
            send(sink, output, 1)
            wait_until(sink._futures[1].failed, within=10)
        finally:
            victim.resume()
        wait_until(stumbled.is_set, within=10)
        with pytest.raises(OutputsLostError):
            sink.commit({0: CommittedOffset(next_offset=9)}, member.generation, deadline=soon())
        repeat(member, sink, output, range(3))

    assert values(victim_connection, output) == [b"0", b"1", b"2"]
