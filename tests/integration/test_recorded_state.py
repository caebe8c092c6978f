"""What is recorded of each sensor, on a real broker: kills, resets, purges, a lost topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import structlog
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from schemas.settings import Guarantee, Settings
from schemas.wire.sensor_state import SensorState
from tests.support.broker import MakeTopic, produce
from tests.support.models import encoded, reading_records, small_detector
from tests.support.streams import drained, make_settings, open_loop, records_done, step_until
from tests.support.wait import wait_until
from workers.api.sensors import recorded_sensors
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of, member_of, table_of, topic_specs
from workers.kafka.kafka_python.options import admin_options

pytestmark = pytest.mark.kafka

SENSORS = ["pump-1", "pump-2", "pump-3"]
RECORDS = reading_records(SENSORS, 60, spike_at=40)

Counts = Mapping[str, tuple[int, int, int, int]]
"""Scored, flagged, dropped and since, by sensor."""


@pytest.fixture
def settings(connection: Connection, make_topic: MakeTopic, group: str) -> Settings:
    return with_guarantee(connection, make_topic, group, Guarantee.EXACTLY_ONCE)


def with_guarantee(
    connection: Connection, make_topic: MakeTopic, group: str, guarantee: Guarantee
) -> Settings:
    return make_settings(
        connection,
        make_topic,
        group,
        stream={"max_poll_records": 20},
        processing={"commit_interval_s": 0.001, "guarantee": guarantee},
    )


def counts(settings: Settings) -> Counts:
    with table_of(settings).open() as table:
        found, unknown = recorded_sensors(table, range(2))
    assert unknown == 0
    return {at.sensor: (at.scored, at.flagged, at.dropped, at.since) for at in found}


def run(settings: Settings, *, until: int) -> list[str]:
    """Do so many records, and drain; the reasons why sensors began anew."""
    with structlog.testing.capture_logs() as logs, open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) >= until)
        drained(loop)
        reasons = [str(e["reason"]) for e in logs if e["event"] == "recorded_state_cold"]
        assert loop.health.recorded_cold_starts == len(reasons)
    return reasons


def commit(settings: Settings, change: Callable[[OffsetAndMetadata], OffsetAndMetadata]) -> None:
    """Change the group's commits as an operator does, with nobody in the group."""
    topic = settings.topics.readings
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap, group_id=settings.kafka.group
    )
    try:
        partitions = [TopicPartition(topic, p) for p in range(2)]
        before = {tp: consumer.committed(tp, metadata=True) for tp in partitions}
        consumer.assign(partitions)
        consumer.commit({tp: change(at) for tp, at in before.items() if at is not None})
    finally:
        consumer.close(autocommit=False)


def leave(connection: Connection, settings: Settings) -> None:
    """Have the group forget its named member, so that offsets can be changed."""
    admin_of(connection).remove_members(settings.kafka.group, [member_of(settings.kafka, 0)])


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_counts_after_kills_are_those_of_an_undisturbed_run(
    connection: Connection, make_topic: MakeTopic, group: str, guarantee: Guarantee
) -> None:
    calm = with_guarantee(connection, make_topic, f"{group}-calm", guarantee)
    killed = with_guarantee(connection, make_topic, group, guarantee)
    late = [*RECORDS, *RECORDS[:30]]  # thirty that are dropped
    for each in (calm, killed):
        produce(connection, each.topics.readings, encoded(late))
    assert run(calm, until=len(late)) == []
    done = 0
    for kill in (1, 50, 51, 120):
        with open_loop(killed, small_detector()) as loop:
            step_until(loop, lambda: done + records_done(loop) >= kill)  # noqa: B023
            done += records_done(loop)
    assert run(killed, until=len(late) - done) == []
    assert counts(killed) == counts(calm)
    scored, flagged, dropped, _ = zip(*counts(calm).values(), strict=True)
    assert (sum(dropped), min(flagged) >= 1) == (30, True)
    assert sum(scored) == len(RECORDS) - len(SENSORS) * (small_detector().receptive_field - 1)


def test_offsets_that_were_reset_begin_every_sensor_anew(
    connection: Connection, settings: Settings
) -> None:
    """Counted twice would be wrong, and nobody could tell."""
    produce(connection, settings.topics.readings, encoded(RECORDS))
    run(settings, until=len(RECORDS))
    before = counts(settings)
    leave(connection, settings)
    commit(settings, lambda at: OffsetAndMetadata(0, at.metadata, -1))
    reasons = run(settings, until=len(RECORDS))
    assert reasons
    assert all("offsets were reset" in reason for reason in reasons)
    assert counts(settings) == before


def test_a_group_without_offsets_removes_what_another_recorded(
    connection: Connection, settings: Settings
) -> None:
    produce(connection, settings.topics.readings, encoded(RECORDS))
    run(settings, until=len(RECORDS))
    before = counts(settings)
    other = settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"group": f"{settings.kafka.group}-2"})}
    )
    reasons = run(other, until=len(RECORDS))
    assert reasons
    assert set(reasons) == {"nothing is committed"}
    assert counts(other) == before


def test_a_lost_topic_is_named_and_counts_begin_anew(
    connection: Connection, settings: Settings
) -> None:
    half = len(RECORDS) // 2
    produce(connection, settings.topics.readings, encoded(RECORDS[:half]))
    run(settings, until=half)
    before = counts(settings)
    admin = KafkaAdminClient(**admin_options(connection))
    try:
        admin.delete_topics([settings.topics.sensor_state])
        wait_until(lambda: settings.topics.sensor_state not in admin.list_topics(), within=15)
    finally:
        admin.close()
    admin_of(connection).create_topics([topic_specs(settings.topics)[4]])
    produce(connection, settings.topics.readings, encoded(RECORDS[half:]))
    reasons = run(settings, until=len(RECORDS) - half)
    assert reasons
    assert all("purged or made anew" in reason for reason in reasons)
    after = counts(settings)
    assert after.keys() == before.keys()
    for sensor, (scored, _, _, since) in after.items():
        assert since > before[sensor][3], "since says that it is not all"
        assert scored == len(RECORDS[half:]) // len(SENSORS)
    assert run(settings, until=0) == []


def test_a_document_of_another_version_is_named_and_its_sensor_begins_anew(
    connection: Connection, settings: Settings
) -> None:
    produce(connection, settings.topics.readings, encoded(RECORDS))
    run(settings, until=len(RECORDS))
    with table_of(settings).open() as table:
        (partition, value) = next(
            (p, table.latest(p)[b"pump-1"]) for p in range(2) if b"pump-1" in table.latest(p)
        )
    newer = value.replace(b'"v":2', b'"v":99')
    record = {"key": b"pump-1", "value": newer, "partition": partition}
    produce(connection, settings.topics.sensor_state, [record])
    more = reading_records(SENSORS, 70, spike_at=40)[len(RECORDS) :]
    produce(connection, settings.topics.readings, encoded(more))
    (reason,) = run(settings, until=len(more))
    assert "of a version that is not known" in reason
    assert counts(settings)["pump-1"][0] == len(more) // len(SENSORS)
    assert counts(settings)["pump-2"][0] > len(more) // len(SENSORS)


def test_a_partition_without_its_partition_of_the_topic_waits(
    connection: Connection, make_topic: MakeTopic, settings: Settings
) -> None:
    """Until the driver has added it: to run without would lose counts in silence."""
    short = make_topic(partitions=1, **{"cleanup.policy": "compact"})
    topics = settings.topics.model_copy(update={"sensor_state": short})
    settings = settings.model_copy(update={"topics": topics})
    produce(connection, topics.readings, encoded(RECORDS))
    in_second = sum(1 for r in encoded(RECORDS) if partition_of(r["key"]) == 1)
    assert 0 < in_second < len(RECORDS)
    with open_loop(settings, small_detector()) as loop:
        with structlog.testing.capture_logs() as logs:
            step_until(loop, lambda: records_done(loop) >= len(RECORDS) - in_second)
            step_until(loop, lambda: any(e["event"] == "partition_waits" for e in logs))
        assert records_done(loop) == len(RECORDS) - in_second
        spec = replace(topic_specs(settings.topics)[4], partitions=1)
        admin_of(connection).grow_topics([spec])
        step_until(loop, lambda: records_done(loop) >= len(RECORDS))
    assert counts(settings).keys() == set(SENSORS)


def partition_of(key: bytes) -> int:
    from kafka.partitioner.default import murmur2

    return int((int(murmur2(key)) & 0x7FFFFFFF) % 2)


def test_the_documents_are_of_the_contract(connection: Connection, settings: Settings) -> None:
    produce(connection, settings.topics.readings, encoded(RECORDS))
    run(settings, until=len(RECORDS))
    with table_of(settings).open() as table:
        documents = [v for p in range(2) for v in table.latest(p).values()]
    assert len(documents) == len(SENSORS)
    assert all(SensorState.model_validate_json(value).version == 2 for value in documents)
