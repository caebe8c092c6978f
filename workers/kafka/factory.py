"""Which client stands behind the seam, and how settings become its configurations.

The one module that names an implementation: another client is chosen here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from schemas.settings import Guarantee, KafkaSettings, Settings, TopicSettings
from workers.errors import SettingsError
from workers.kafka.admin import Admin, TopicSpec
from workers.kafka.client import (
    LARGEST_OUTPUT_BYTES,
    Connection,
    OpensSink,
    OpensSource,
    OpensTable,
    OpensTail,
    ShouldStop,
    never,
)
from workers.kafka.kafka_python.admin.admin import KafkaPythonAdmin
from workers.kafka.kafka_python.codecs import missing_packages
from workers.kafka.kafka_python.consumer.reader import TopicReader, open_reader
from workers.kafka.kafka_python.consumer.source import SourceConfig
from workers.kafka.kafka_python.consumer.table import TableConfig
from workers.kafka.kafka_python.consumer.tail import TailConfig
from workers.kafka.kafka_python.options import check_options
from workers.kafka.kafka_python.producer.partition_producer import open_partition_producer
from workers.kafka.kafka_python.producer.sink import SinkConfig
from workers.kafka.kafka_python.producer.transactional_sink import TransactionalSinkConfig
from workers.kafka.publisher import Publisher
from workers.kafka.unkeyed import repartition_settings

__all__ = [
    "TopicReader",
    "admin_of",
    "connection_of",
    "member_of",
    "missing_packages",
    "open_partition_producer",
    "open_publisher",
    "open_reader",
    "repartition_specs",
    "sink_of",
    "source_of",
    "table_of",
    "topic_specs",
    "verdicts_of",
    "verdicts_sink_of",
    "verdicts_table_of",
]

_PUBLISHER_FLUSH_TIMEOUT_S = 30.0
_DEAD_LETTER_BYTES = str(LARGEST_OUTPUT_BYTES)
"""A dead letter is larger than its record: the reasons are added to its headers."""
_SAFE_COPIES = 3
_TABLE = {
    "cleanup.policy": "compact",
    "segment.bytes": str(8 * 2**20),
    "min.cleanable.dirty.ratio": "0.1",
}
"""A table is read whole when a partition is taken up, and the newest segment is never compacted."""


def connection_of(kafka: KafkaSettings) -> Connection:
    """How these settings talk to the broker.

    Raises:
        SettingsError: names the option that the client cannot use.
    """
    connection = Connection(bootstrap=kafka.bootstrap, options=kafka.client_options())
    check_options(connection.options)
    return connection


def topic_specs(topics: TopicSettings) -> list[TopicSpec]:
    """The topics that these settings read and write, as `vigie topics create` makes them.

    Readings, anomalies, denoised, dead letters, sensor state, incidents, verdicts, in this order.
    """
    configs = {
        topics.dead_letters: {"max.message.bytes": _DEAD_LETTER_BYTES},
        topics.sensor_state: _TABLE,
        topics.verdicts: _TABLE,
    }
    return [
        TopicSpec(
            name=name,
            # One order of all wishes, whomever they are for.
            partitions=1 if name == topics.verdicts else topics.partitions,
            replication_factor=topics.replication_factor,
            configs=_copied(topics) | configs.get(name, {}),
            along_with=topics.readings if name == topics.sensor_state else "",
        )
        for name in topics.names
    ]


def repartition_specs(settings: Settings) -> list[TopicSpec]:
    """The topics that `vigie repartition` reads: its source, and the one between its hops.

    Raises:
        SettingsError: one of them is a topic of the stream.
    """
    own = {settings.repartition.source, settings.repartition.shuffled}
    taken = own & {spec.name for spec in topic_specs(settings.topics)}
    if settings.repartition.source == settings.topics.readings:
        raise SettingsError(
            f"vigie repartition would read {settings.topics.readings} and write to it: write to a "
            f"new topic. In vigie.toml (or with --to, but vigie run needs it as well)\n\n"
            f"{repartition_settings(settings.repartition.source)}\n\n"
            "then: vigie topics create --repartition"
        )
    if taken:
        raise SettingsError(
            f"repartition.source and repartition.shuffled must be others than those of [topics]: "
            f"{', '.join(sorted(taken))} would be read and written"
        )
    return [
        TopicSpec(
            name=name,
            partitions=settings.topics.partitions,
            replication_factor=settings.topics.replication_factor,
            configs=_copied(settings.topics) | configs,
        )
        for name, configs in (
            (settings.repartition.source, {}),
            # A header more than the source's largest record has.
            (settings.repartition.shuffled, {"max.message.bytes": _DEAD_LETTER_BYTES}),
        )
    ]


def _copied(topics: TopicSettings) -> dict[str, str]:
    """Of three copies and more, two must have a record before it counts.

    A broker's own default is 1, and then the loss of one broker may lose records.
    """
    return {"min.insync.replicas": "2"} if topics.replication_factor >= _SAFE_COPIES else {}


def member_of(kafka: KafkaSettings, slot: int) -> str:
    """Name of an ingest worker in the group, and of its transactions.

    The same after a restart, so that a successor takes over at once and fences its predecessor.
    Kafka takes it, and no other group, instance and slot give it: see `schemas.settings.sections`.
    """
    return f"{kafka.group}.{kafka.instance}.{slot}"


def source_of(settings: Settings, slot: int) -> OpensSource:
    """How an ingest worker reads."""
    return SourceConfig(
        connection=connection_of(settings.kafka),
        topic=settings.topics.readings,
        group=settings.kafka.group,
        member=member_of(settings.kafka, slot),
        assignment=settings.kafka.assignment,
        max_poll_records=settings.stream.max_poll_records,
    )


def table_of(settings: Settings) -> OpensTable:
    """How to look at what is recorded of each sensor."""
    return TableConfig(connection=connection_of(settings.kafka), topic=settings.topics.sensor_state)


def verdicts_of(settings: Settings) -> OpensTail:
    """How to read what people wish, and go on reading."""
    return TailConfig(connection=connection_of(settings.kafka), topic=settings.topics.verdicts)


def verdicts_table_of(connection: Connection, topic: str) -> OpensTable:
    """How to look at what people wish, as it stands now."""
    return TableConfig(connection=connection, topic=topic)


def verdicts_sink_of(connection: Connection, topic: str) -> OpensSink:
    """How to write it: every writer by the same name, so that the newest fences the others."""
    return TransactionalSinkConfig(
        connection=connection,
        transactional_id=f"vigie-verdicts-{topic}",
        client_id="vigie-verdicts",
    )


def sink_of(settings: Settings, slot: int) -> OpensSink:
    """How an ingest worker publishes, as `processing.guarantee` says."""
    connection, processing = connection_of(settings.kafka), settings.processing
    if processing.guarantee is Guarantee.AT_LEAST_ONCE:
        return SinkConfig(connection=connection, flush_timeout_s=processing.flush_timeout_s)
    return TransactionalSinkConfig(
        connection=connection,
        transactional_id=member_of(settings.kafka, slot),
        transaction_timeout_s=processing.transaction_timeout_s,
        flush_timeout_s=processing.flush_timeout_s,
    )


def admin_of(connection: Connection) -> Admin:
    """What looks at and changes topics and groups; opens nothing."""
    return KafkaPythonAdmin(connection)


def open_publisher(
    connection: Connection, *, client_id: str = "vigie-publisher", should_stop: ShouldStop = never
) -> AbstractContextManager[Publisher]:
    """Open a publisher, at least once; see `Publisher.open`."""
    sink = SinkConfig(
        connection=connection, client_id=client_id, flush_timeout_s=_PUBLISHER_FLUSH_TIMEOUT_S
    )
    return Publisher.open(sink, flush_timeout_s=_PUBLISHER_FLUSH_TIMEOUT_S, should_stop=should_stop)
