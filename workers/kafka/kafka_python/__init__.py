"""Vigie's Kafka client: kafka-python behind the seam of `workers.kafka.client`."""

from workers.kafka.kafka_python.options import Connection
from workers.kafka.kafka_python.probe import broker_answers
from workers.kafka.kafka_python.sink import SinkConfig
from workers.kafka.kafka_python.source import Assignment, SourceConfig
from workers.kafka.kafka_python.transactional_sink import TransactionalSinkConfig
from workers.kafka.kafka_python.waiting import wait_for_broker

__all__ = [
    "Assignment",
    "Connection",
    "SinkConfig",
    "SourceConfig",
    "TransactionalSinkConfig",
    "broker_answers",
    "wait_for_broker",
]
