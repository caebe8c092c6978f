"""Vigie's Kafka client: kafka-python behind the seam of `workers.kafka.client`."""

from workers.kafka.kafka_python.admin.probe import broker_answers
from workers.kafka.kafka_python.admin.waiting import wait_for_broker
from workers.kafka.kafka_python.consumer.source import Assignment, SourceConfig
from workers.kafka.kafka_python.consumer.table import TableConfig
from workers.kafka.kafka_python.options import Connection
from workers.kafka.kafka_python.producer.sink import SinkConfig
from workers.kafka.kafka_python.producer.transactional_sink import TransactionalSinkConfig

__all__ = [
    "Assignment",
    "Connection",
    "SinkConfig",
    "SourceConfig",
    "TableConfig",
    "TransactionalSinkConfig",
    "broker_answers",
    "wait_for_broker",
]
