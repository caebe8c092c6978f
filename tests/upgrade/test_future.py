"""What a later version has committed and recorded: a warning and a cold start, never a crash."""

from __future__ import annotations

import json

import pytest
import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from tests.support.broker import MakeTopic, produce, read_settled
from tests.support.models import encoded, reading_records, small_detector
from tests.support.streams import (
    drained,
    make_settings,
    open_loop,
    records_done,
    scored_readings,
    step_until,
)
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of, member_of
from workers.kafka.kafka_python.options import consumer_options

pytestmark = pytest.mark.kafka

SENSORS = ["pump-1", "pump-2", "pump-3"]
RECORDS = encoded(reading_records(SENSORS, 60, spike_at=40))
HALF, WARM_UP = len(RECORDS) // 2, 7


def rewritten_by_a_later_version(connection: Connection, group: str, topic: str, states: str):
    """Give commits and documents a version that is to come, with fields that are to come."""
    options = consumer_options(connection) | {"group_id": group, "enable_auto_commit": False}
    consumer = KafkaConsumer(**options)
    try:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        commits = {}
        for partition in partitions:
            offset = consumer.committed(partition)
            commits[partition] = OffsetAndMetadata(offset, json.dumps({"v": 99, "new": [1]}), -1)
        consumer.commit(commits)
    finally:
        consumer.close()
    documents = [
        {
            "key": record.key,
            "partition": record.partition,
            "value": json.dumps({**json.loads(record.value), "v": 99, "new": {}}).encode(),
        }
        for record in read_settled(connection, states)
        if record.value is not None
    ]
    assert {document["key"].decode() for document in documents} == set(SENSORS)
    produce(connection, states, documents)


def test_what_a_later_version_left_is_a_cold_start_that_loses_no_reading(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    settings = make_settings(connection, make_topic, group)
    topics = settings.topics
    produce(connection, topics.readings, RECORDS[:HALF])
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == HALF)
        drained(loop)
    # The named member stays in the group for a while, and nobody else may change its commits.
    admin_of(connection).remove_members(group, [member_of(settings.kafka, 0)])
    rewritten_by_a_later_version(connection, group, topics.readings, topics.sensor_state)
    produce(connection, topics.readings, RECORDS[HALF:])

    with structlog.testing.capture_logs() as logs, open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == len(RECORDS) - HALF)
        drained(loop)

    reasons = {str(one["reason"]) for one in logs if one["event"] == "cold_start"}
    assert reasons == {"the commit carries no restore point that this version knows"}
    assert any(one["event"] == "recorded_state_cold" for one in logs)
    assert len(scored_readings(connection, settings)) == len(RECORDS) - 2 * WARM_UP * len(SENSORS)
