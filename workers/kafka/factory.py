"""What settings say about Kafka: the connection, the topics, and the clients of a worker."""

from __future__ import annotations

from schemas.settings import Guarantee, Settings
from workers.kafka.client import LARGEST_OUTPUT_BYTES, OpensSink, OpensSource, OpensTable
from workers.kafka.kafka_python import (
    Assignment,
    Connection,
    SinkConfig,
    SourceConfig,
    TableConfig,
    TransactionalSinkConfig,
)
from workers.kafka.kafka_python.admin.topics import TopicSpec

_DEAD_LETTER_BYTES = str(LARGEST_OUTPUT_BYTES)
"""A dead letter is larger than its record: the reasons are added to its headers."""
_TABLE = {
    "cleanup.policy": "compact",
    "segment.bytes": str(8 * 2**20),
    "min.cleanable.dirty.ratio": "0.1",
}
"""A table is read whole when a partition is taken up, and the newest segment is never compacted."""


def connection_of(settings: Settings) -> Connection:
    """How these settings talk to the broker."""
    return Connection(bootstrap=settings.kafka.bootstrap, options=settings.kafka.client_options())


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """The topics that these settings read and write, as `vigie topics create` makes them.

    Readings, anomalies, denoised, dead letters, sensor state, in this order.
    """
    topics = settings.topics
    configs = {
        topics.dead_letters: {"max.message.bytes": _DEAD_LETTER_BYTES},
        topics.sensor_state: _TABLE,
    }
    return [
        TopicSpec(
            name=name,
            partitions=topics.partitions,
            replication_factor=topics.replication_factor,
            configs=configs.get(name, {}),
            along_with=topics.readings if name == topics.sensor_state else "",
        )
        for name in (
            topics.readings,
            topics.anomalies,
            topics.denoised,
            topics.dead_letters,
            topics.sensor_state,
        )
    ]


def member_of(settings: Settings, slot: int) -> str:
    """Name of an ingest worker in the group, and of its transactions.

    The same after a restart, so that a successor takes over at once and fences its predecessor.
    Kafka takes it, and no other group, instance and slot give it: see `schemas.settings.sections`.
    """
    return f"{settings.kafka.group}.{settings.kafka.instance}.{slot}"


def source_of(settings: Settings, slot: int) -> OpensSource:
    """How an ingest worker reads."""
    return SourceConfig(
        connection=connection_of(settings),
        topic=settings.topics.readings,
        group=settings.kafka.group,
        member=member_of(settings, slot),
        assignment=Assignment(settings.kafka.assignment),
        max_poll_records=settings.stream.max_poll_records,
    )


def table_of(settings: Settings) -> OpensTable:
    """How to look at what is recorded of each sensor."""
    return TableConfig(connection=connection_of(settings), topic=settings.topics.sensor_state)


def sink_of(settings: Settings, slot: int) -> OpensSink:
    """How an ingest worker publishes, as `processing.guarantee` says."""
    processing = settings.processing
    if processing.guarantee is Guarantee.AT_LEAST_ONCE:
        return SinkConfig(
            connection=connection_of(settings), flush_timeout_s=processing.flush_timeout_s
        )
    return TransactionalSinkConfig(
        connection=connection_of(settings),
        transactional_id=member_of(settings, slot),
        transaction_timeout_s=processing.transaction_timeout_s,
        flush_timeout_s=processing.flush_timeout_s,
    )
