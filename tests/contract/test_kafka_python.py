"""kafka-python passes the contract, with either way to share partitions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.kafka_client import KafkaClientContract
from workers.kafka.kafka_python import Assignment, Connection, SinkConfig, SourceConfig

pytestmark = pytest.mark.kafka


class TestKafkaPython(KafkaClientContract):
    def source_config(self, connection: Connection, topic: str, group: str) -> SourceConfig:
        return SourceConfig(connection=connection, topic=topic, group=group)

    def sink_config(self, connection: Connection, **limits: Any) -> SinkConfig:
        return SinkConfig(connection=connection, **limits)


class TestCooperativeAssignment:
    """Only what the way of sharing can change."""

    def source_config(self, connection: Connection, topic: str, group: str) -> SourceConfig:
        return SourceConfig(
            connection=connection, topic=topic, group=group, assignment=Assignment.COOPERATIVE
        )

    settled = staticmethod(KafkaClientContract.settled)
    test_two_members_share_and_hand_over = KafkaClientContract.test_two_members_share_and_hand_over
