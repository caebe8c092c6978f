"""What settings say about Kafka: the connection, and the topics of the stream."""

from __future__ import annotations

from schemas.settings import Settings
from workers.kafka.client import LARGEST_OUTPUT_BYTES
from workers.kafka.kafka_python import Connection
from workers.kafka.topics import TopicSpec

_DEAD_LETTER_BYTES = str(LARGEST_OUTPUT_BYTES)
"""A dead letter is larger than its record: the reasons are added to its headers."""


def connection_of(settings: Settings) -> Connection:
    """How these settings talk to the broker."""
    return Connection(bootstrap=settings.kafka.bootstrap, options=settings.kafka.client_options())


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """The topics that these settings read and write, as `vigie topics create` makes them.

    Readings, anomalies, denoised, dead letters, in this order.
    """
    topics = settings.topics
    configs = {topics.dead_letters: {"max.message.bytes": _DEAD_LETTER_BYTES}}
    return [
        TopicSpec(
            name=name,
            partitions=topics.partitions,
            replication_factor=topics.replication_factor,
            configs=configs.get(name, {}),
        )
        for name in (topics.readings, topics.anomalies, topics.denoised, topics.dead_letters)
    ]
