"""The part of the contract about compacted topics that are read on and on."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaProducer

from tests.contract.kafka_contract import KafkaContract
from tests.contract.kafka_tables import COMPACTED, KafkaTableContract
from tests.support.broker import produce
from tests.support.wait import wait_until
from workers.errors import BrokerUnavailableError, StoppedError, TopicError
from workers.kafka.client import Connection, OpensTail, TableTail

pytestmark = pytest.mark.kafka

Pair = tuple[bytes | None, bytes | None]


def read_start(tail: TableTail) -> list[Pair]:
    """All that is given until it has caught up."""
    found: list[Pair] = []

    def is_read() -> bool:
        found.extend(tail.poll(timeout_s=0.05))
        return tail.caught_up

    wait_until(is_read, within=15)
    return found


def read_next(tail: TableTail, count: int) -> list[Pair]:
    """The next records, by calls that wait for nothing."""
    found: list[Pair] = []

    def are_there() -> bool:
        found.extend(tail.poll())
        return len(found) >= count

    wait_until(are_there, within=15)
    return found


class KafkaTailContract(KafkaContract):
    """A topic is told from its beginning, and then as it grows."""

    def tail_config(self, connection: Connection, topic: str) -> OpensTail:
        return self.client.tail(connection, topic)

    open_transaction: Any = KafkaTableContract.open_transaction

    @pytest.fixture
    def topic(self, make_topic: Any) -> str:
        name: str = make_topic(**COMPACTED)
        return name

    @pytest.fixture
    def tail(self, connection: Connection, topic: str) -> Iterator[TableTail]:
        """The tail of a topic with two records."""
        records = [{"key": b"a", "value": b"1"}, {"key": b"b", "value": b"2"}]
        produce(connection, topic, records)
        with self.tail_config(connection, topic).open() as tail:
            yield tail

    def test_what_is_there_comes_first_and_then_what_is_new(self, connection, topic, tail):
        assert not tail.caught_up
        assert read_start(tail) == [(b"a", b"1"), (b"b", b"2")]
        assert tail.poll() == []
        produce(connection, topic, [{"key": b"a", "value": None}, {"key": b"b", "value": b""}])
        assert read_next(tail, 2) == [(b"a", None), (b"b", b"")]
        assert tail.caught_up

    def test_an_empty_topic_is_caught_up_with_at_once(self, connection, make_topic):
        with self.tail_config(connection, make_topic(**COMPACTED)).open() as tail:
            assert tail.caught_up
            assert tail.poll() == []

    def test_every_partition_is_read(self, connection, make_topic):
        topic = make_topic(partitions=3)
        produce(
            connection, topic, [{"key": b"k", "value": b"%d" % n, "partition": n} for n in range(3)]
        )
        with self.tail_config(connection, topic).open() as tail:
            assert sorted(read_start(tail)) == [(b"k", b"0"), (b"k", b"1"), (b"k", b"2")]

    def test_a_call_that_waits_for_nothing_returns_at_once(self, tail):
        read_start(tail)
        began = time.monotonic()
        for _ in range(50):
            tail.poll()
        assert time.monotonic() - began < 1.0

    def test_an_open_transaction_is_waited_for(
        self, connection, topic, open_transaction: KafkaProducer
    ):
        """What was sent before it was opened, and is committed later, belongs to the beginning."""
        produce(connection, topic, [{"key": b"a", "value": b"1"}])
        open_transaction.send(topic, b"2", b"a")
        open_transaction.flush()
        with self.tail_config(connection, topic).open() as tail:
            assert read_next(tail, 1) == [(b"a", b"1")]
            assert tail.poll(timeout_s=0.3) == []
            assert not tail.caught_up
            open_transaction.commit_transaction()
            assert read_start(tail) == [(b"a", b"2")]

    def test_what_was_aborted_is_not_told_and_not_waited_for(
        self, connection, topic, open_transaction: KafkaProducer
    ):
        open_transaction.send(topic, b"2", b"a")
        open_transaction.flush()
        open_transaction.abort_transaction()
        with self.tail_config(connection, topic).open() as tail:
            assert read_start(tail) == []

    def test_a_missing_topic_is_named_with_the_way_to_make_it(self, connection):
        with (
            pytest.raises(TopicError, match=r"no-such-tail does not exist.*vigie topics create"),
            self.tail_config(connection, "no-such-tail").open(),
        ):
            pass

    def test_a_broker_that_is_away_is_waited_for_until_told_to_stop(self, free_port):
        away = Connection(bootstrap=f"127.0.0.1:{free_port}", wait_timeout_s=0)
        with pytest.raises(BrokerUnavailableError), self.tail_config(away, "t").open():
            pass
        patient = Connection(bootstrap=f"127.0.0.1:{free_port}")
        with (
            pytest.raises(StoppedError),
            self.tail_config(patient, "t").open(should_stop=lambda: True),
        ):
            pass

    def test_a_configuration_travels_and_prints_no_secret(self):
        config = self.tail_config(
            Connection(bootstrap="b:1", options={"sasl_plain_password": "hunter2"}), "t"
        )
        assert pickle.loads(pickle.dumps(config)) == config
        assert "hunter2" not in repr(config)
