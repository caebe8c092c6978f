"""The part of the contract about compacted topics: what is the last word on each key."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaProducer

from tests.contract.kafka_contract import KafkaContract, soon
from tests.support.broker import produce
from workers.errors import BrokerUnavailableError
from workers.kafka.admin import TopicSpec
from workers.kafka.client import Connection, Generation, OpensTable
from workers.kafka.kafka_python.options import producer_options

pytestmark = pytest.mark.kafka

NOBODY = Generation(token=None, epochs={})
COMPACTED = {"cleanup.policy": "compact"}


class KafkaTableContract(KafkaContract):
    """A partition of a table is told as it is when it is asked for, whole."""

    def table_config(self, connection: Connection, topic: str, **limits: Any) -> OpensTable:
        return self.client.table(connection, topic, **limits)

    @pytest.fixture
    def open_transaction(self, connection: Connection) -> Iterator[KafkaProducer]:
        """A producer with a transaction that it has begun."""
        options = producer_options(connection) | {"transactional_id": f"t-{time.monotonic_ns()}"}
        producer = KafkaProducer(**options)
        producer.init_transactions()
        producer.begin_transaction()
        yield producer
        producer.close(timeout=5)

    def test_a_tombstone_ends_a_key(self, connection, make_topic, open_source):
        """Else its last value counts."""
        topic = make_topic(partitions=2, **COMPACTED)
        with (
            self.sink_config(connection).open(open_source(make_topic())) as sink,
            self.table_config(connection, topic).open() as table,
        ):
            sink.begin()
            for key, value in ((b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", None)):
                sink.send(topic, key=key, value=value, partition=1)
            sink.send(topic, key=b"c", value=b"", partition=1)
            sink.commit({}, NOBODY, deadline=soon())

            assert table.latest(1) == {b"a": b"3", b"c": b""}
            assert table.latest(0) == {}

            sink.begin()
            sink.send(topic, key=b"b", value=b"back", partition=1)
            sink.commit({}, NOBODY, deadline=soon())
            assert table.latest(1) == {b"a": b"3", b"b": b"back", b"c": b""}

    def test_a_partition_is_taken_as_it_is_named(self, connection, make_topic, open_source):
        topic = make_topic(partitions=3)
        keys = [b"k%d" % n for n in range(20)]
        with (
            self.sink_config(connection).open(open_source(make_topic())) as sink,
            self.table_config(connection, topic).open() as table,
        ):
            sink.begin()
            for key in keys:
                sink.send(topic, key=key, value=key, partition=2)
            sink.commit({}, NOBODY, deadline=soon())
            assert [len(table.latest(p)) for p in range(3)] == [0, 0, 20]

    def test_what_was_aborted_is_not_told(self, connection, make_topic, open_transaction):
        topic = make_topic(**COMPACTED)
        produce(connection, topic, [{"key": b"a", "value": b"1"}])
        open_transaction.send(topic, b"2", b"a")
        open_transaction.flush()
        open_transaction.abort_transaction()
        with self.table_config(connection, topic).open() as table:
            assert table.latest(0) == {b"a": b"1"}

    def test_an_open_transaction_is_waited_for(self, connection, make_topic, open_transaction):
        """What a predecessor sent and will commit must not be missing."""
        topic = make_topic(**COMPACTED)
        open_transaction.send(topic, b"1", b"a")
        open_transaction.flush()
        with self.table_config(connection, topic).open() as table:
            late = threading.Timer(1.0, open_transaction.commit_transaction)
            late.start()
            try:
                assert table.latest(0) == {b"a": b"1"}
            finally:
                late.join()

    def test_a_transaction_that_stays_open_is_no_reason_to_guess(
        self, connection, make_topic, open_transaction
    ):
        topic = make_topic(**COMPACTED)
        produce(connection, topic, [{"key": b"a", "value": b"1"}])
        open_transaction.send(topic, b"2", b"a")
        open_transaction.flush()
        with self.table_config(connection, topic, stall_timeout_s=0.5).open() as table:
            with pytest.raises(BrokerUnavailableError, match="a transaction is open"):
                table.latest(0)
            open_transaction.commit_transaction()
            assert table.latest(0) == {b"a": b"2"}

    def test_a_partition_that_is_not_there_is_asked_for_again_later(self, connection, make_topic):
        topic = make_topic(**COMPACTED)
        produce(connection, topic, [{"key": b"a", "value": b"1"}])
        with self.table_config(connection, topic).open() as table:
            with pytest.raises(BrokerUnavailableError, match="no partition 1 yet"):
                table.latest(1)
            assert table.latest(0) == {b"a": b"1"}

            other = make_topic(partitions=2)
            self.client.admin(connection).grow_topics([TopicSpec(name=topic, along_with=other)])
            assert table.latest(1) == {}

    def test_a_missing_topic_is_waited_for(self, connection):
        with (
            self.table_config(connection, "no-such-table").open() as table,
            pytest.raises(BrokerUnavailableError, match="vigie topics create"),
        ):
            table.latest(0)

    def test_a_table_of_many_segments_is_told_whole(self, connection, make_topic):
        topic = make_topic(**COMPACTED | {"segment.bytes": str(2**20)})
        records = [{"key": b"k%d" % (n % 997), "value": b"%0200d" % n} for n in range(20_000)]
        produce(connection, topic, records)
        with self.table_config(connection, topic).open() as table:
            found = table.latest(0)
        assert found == {record["key"]: record["value"] for record in records}

    def test_the_configuration_of_a_table_travels_and_prints_no_secret(self):
        config = self.table_config(
            Connection(bootstrap="b:1", options={"sasl_plain_password": "hunter2"}), "t"
        )
        assert pickle.loads(pickle.dumps(config)) == config
        assert "hunter2" not in repr(config)
