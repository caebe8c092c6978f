"""Topics for tests, and a plain look at what is in them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from tests.support.wait import wait_until
from workers.broker.embedded import EmbeddedBroker
from workers.kafka.admin import TopicSpec
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of
from workers.kafka.kafka_python.options import admin_options, consumer_options, producer_options

QUICK_START = ("-XX:TieredStopAtLevel=1",)
"""Options of the Java machine for brokers that live for one test run."""

MakeTopic = Callable[..., str]
"""``make_topic(partitions=1, **configs) -> name``."""


@contextmanager
def topic_maker(connection: Connection) -> Iterator[MakeTopic]:
    """Yield a maker of topics with random names; delete them at the end."""
    made: list[str] = []

    def make(partitions: int = 1, **configs: str) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        spec = TopicSpec(name=name, partitions=partitions, configs=configs)
        admin_of(connection).create_topics([spec])
        made.append(name)
        return name

    yield make
    if made:
        admin = KafkaAdminClient(**admin_options(connection))
        try:
            admin.delete_topics(made, raise_errors=False)
        finally:
            admin.close()


def suspend(broker: EmbeddedBroker) -> None:
    """Stop the broker, and wait until each of its threads stands still: until then one may answer.

    The signal is sent to a whole group of processes, and takes effect in a thread when that is
    scheduled next.
    """
    broker.suspend()
    assert broker.pid is not None
    root = psutil.Process(broker.pid)
    processes = [root, *root.children(recursive=True)]

    def stand_still() -> bool:
        stats = [s for p in processes for s in Path(f"/proc/{p.pid}/task").glob("*/stat")]
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in stats)

    if Path("/proc/self/task").exists():
        wait_until(stand_still, within=10)


def produce(connection: Connection, topic: str, records: Iterable[dict[str, Any]]) -> None:
    """Send records (keyword arguments of ``KafkaProducer.send``) and wait for each."""
    producer = KafkaProducer(**producer_options(connection))
    try:
        futures = [producer.send(topic, **record) for record in records]
        producer.flush(timeout=20)
        for future in futures:
            future.get(timeout=0)
    finally:
        producer.close(timeout=5)


def read_settled(connection: Connection, topic: str, *, within: float = 20.0) -> list[Any]:
    """As `read_all`, once no transaction is open on the topic.

    The broker answers a commit when it is decided, and marks each partition a moment later; until
    then a reader of committed records does not get at what was committed.
    """
    levels = ("read_committed", "read_uncommitted")
    options = consumer_options(connection)
    readers = [KafkaConsumer(**options | {"isolation_level": level}) for level in levels]
    try:
        partitions = [TopicPartition(topic, p) for p in readers[0].partitions_for_topic(topic)]
        wait_until(
            lambda: readers[0].end_offsets(partitions) == readers[1].end_offsets(partitions),
            within=within,
            what=f"the end of every transaction on {topic}",
        )
    finally:
        for reader in readers:
            reader.close()
    return read_all(connection, topic, within=within)


def read_all(connection: Connection, topic: str, *, within: float = 20.0) -> list[Any]:
    """Every committed record of a topic up to its end as it is now, by partition and offset."""
    consumer = KafkaConsumer(**consumer_options(connection))
    try:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Any] = []
        deadline = time.monotonic() + within
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            for batch in consumer.poll(timeout_ms=200, max_records=5000).values():
                found.extend(batch)
            if time.monotonic() > deadline:
                raise AssertionError(f"{topic}: {len(found)} records, ends {ends}, time is up")
    finally:
        consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))
