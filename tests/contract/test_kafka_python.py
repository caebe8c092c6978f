"""What only kafka-python does: its options, and a log that it cannot read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kafka import KafkaConsumer, KafkaProducer

from tests.contract.kafka_contract import numbered, soon
from tests.support.broker import produce
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.errors import CorruptLogError
from workers.kafka.client import Generation
from workers.kafka.kafka_python.consumer.source import SourceConfig
from workers.kafka.kafka_python.options import _OWNED
from workers.kafka.kafka_python.producer.sink import SinkConfig

pytestmark = pytest.mark.kafka


def test_a_source_and_a_sink_open_with_every_option_that_is_accepted(connection, make_topic, group):
    defaults = {**KafkaProducer.DEFAULT_CONFIG, **KafkaConsumer.DEFAULT_CONFIG}
    every = {key: value for key, value in defaults.items() if key not in _OWNED}
    spoken = replace(connection, options=every)
    topic = make_topic()
    with SourceConfig(connection=spoken, topic=topic, group=group).open() as source:
        member = Member(source).starting()
        with SinkConfig(connection=spoken).open(source) as sink:
            sink.send(topic, key=b"k", value=b"v")
            sink.commit({}, Generation(token=None, epochs={}), deadline=soon())
        wait_until(lambda: member.step() and member.values(0) == [b"v"], within=15)


def test_a_damaged_log_ends_the_source_and_is_no_outage(
    connection, make_topic, group, monkeypatch, caplog
):
    """As often as it is asked, in no time, and the source still closes."""
    topic = make_topic()
    produce(connection, topic, numbered(3))
    with SourceConfig(connection=connection, topic=topic, group=group).open() as source:
        member = Member(source).starting()
        wait_until(lambda: member.step() and len(member.values(0)) == 3, within=15)
        monkeypatch.setattr(
            "kafka.record.default_records.DefaultRecordBatch.validate_crc", lambda _: False
        )
        produce(connection, topic, numbered(3, start=3))

        def is_said() -> bool:
            try:
                member.step()
            except CorruptLogError as error:
                return f"{topic}[0] cannot be read at offset 3" in str(error)
            return False

        wait_until(is_said, within=10)
        for _ in range(3):
            with pytest.raises(CorruptLogError):
                member.step(timeout_s=1)

        assert len(member.values(0)) == 3
        assert "does not answer" not in caplog.text
