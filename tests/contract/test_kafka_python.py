"""kafka-python passes the contract, with either way to share partitions."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaTimeoutError

from tests.contract.kafka_client import KafkaClientContract
from tests.contract.kafka_contract import KafkaContract, numbered, soon
from tests.contract.kafka_membership import MembershipContract
from tests.contract.kafka_outputs import KafkaOutputsContract
from tests.contract.kafka_tables import KafkaTableContract
from tests.contract.kafka_transactions import TransactionalContract
from tests.support.broker import produce
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.broker.embedded import EmbeddedBroker
from workers.errors import CorruptLogError, SettingsError
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python import (
    Assignment,
    Connection,
    SinkConfig,
    SourceConfig,
    TableConfig,
    TransactionalSinkConfig,
)
from workers.kafka.kafka_python.options import _OWNED

pytestmark = pytest.mark.kafka


class TestKafkaPython(KafkaClientContract):
    def source_config(self, connection: Connection, topic: str, group: str) -> SourceConfig:
        return SourceConfig(connection=connection, topic=topic, group=group)

    def sink_config(self, connection: Connection, **limits: Any) -> SinkConfig:
        return SinkConfig(connection=connection, **limits)

    def test_a_source_and_a_sink_open_with_every_option_that_is_accepted(
        self, connection, make_topic, group
    ):
        defaults = {**KafkaProducer.DEFAULT_CONFIG, **KafkaConsumer.DEFAULT_CONFIG}
        every = {key: value for key, value in defaults.items() if key not in _OWNED}
        spoken = replace(connection, options=every)
        topic = make_topic()
        with self.source_config(spoken, topic, group).open() as source:
            member = Member(source).starting()
            with self.sink_config(spoken).open(source) as sink:
                sink.send(topic, key=b"k", value=b"v")
                sink.commit({}, self.nobody(), deadline=soon())
            wait_until(lambda: member.step() and member.values(0) == [b"v"], within=15)

    def test_a_damaged_log_ends_the_source_and_is_no_outage(
        self, connection, make_topic, open_source, monkeypatch, caplog
    ):
        """As often as it is asked, in no time, and the source still closes."""
        topic = make_topic()
        produce(connection, topic, numbered(3))
        member = Member(open_source(topic)).starting()
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
        assert not self.said(caplog, "does not answer")


class TestTransactionalSink(KafkaOutputsContract, TransactionalContract):
    """The outputs of exactly once, and what only it promises."""

    def source_config(self, connection: Connection, topic: str, group: str) -> SourceConfig:
        return SourceConfig(connection=connection, topic=topic, group=group)

    def sink_config(self, connection: Connection, **limits: Any) -> TransactionalSinkConfig:
        name = f"test-{uuid.uuid4().hex[:12]}"
        return TransactionalSinkConfig(connection=connection, transactional_id=name, **limits)

    def named_sink(self, connection: Connection, name: str) -> TransactionalSinkConfig:
        return TransactionalSinkConfig(connection=connection, transactional_id=name)

    def named(self, connection: Connection, topic: str, group: str, member: str) -> SourceConfig:
        return SourceConfig(connection=connection, topic=topic, group=group, member=member)

    def lose_answer(self, sink: Any, *, arrives: bool) -> None:
        commit = sink._transactions.commit

        def commit_and_hear_nothing(deadline: Deadline) -> None:
            if arrives:
                commit(deadline)
            raise KafkaTimeoutError("no answer")

        sink._transactions.commit = commit_and_hear_nothing

    def freeze_at(self, sink: Any, step: str, broker: EmbeddedBroker) -> None:
        name = {"offsets": "add_offsets", "commit": "commit"}[step]
        proceed = getattr(sink._transactions, name)

        def freeze_and_proceed(*arguments: Any) -> None:
            broker.suspend()
            proceed(*arguments)

        setattr(sink._transactions, name, freeze_and_proceed)


class TestTables(KafkaTableContract):
    def source_config(self, connection: Connection, topic: str, group: str) -> SourceConfig:
        return SourceConfig(connection=connection, topic=topic, group=group)

    def sink_config(self, connection: Connection, **limits: Any) -> TransactionalSinkConfig:
        name = f"tx-{uuid.uuid4().hex[:12]}"
        return TransactionalSinkConfig(connection=connection, transactional_id=name, **limits)

    def table_config(self, connection: Connection, topic: str, **limits: Any) -> TableConfig:
        return TableConfig(connection=connection, topic=topic, **limits)


class TestTablesAtLeastOnce(KafkaContract):
    """Only what the sink can change."""

    source_config = TestTables.source_config
    table_config = TestTables.table_config

    def sink_config(self, connection: Connection, **limits: Any) -> SinkConfig:
        return SinkConfig(connection=connection, **limits)

    test_a_tombstone = KafkaTableContract.test_a_tombstone_ends_a_key
    test_a_partition = KafkaTableContract.test_a_partition_is_taken_as_it_is_named


class TestRangeAssignment:
    """Only what the way of sharing can change."""

    def source_config(self, connection: Connection, topic: str, group: str) -> SourceConfig:
        return SourceConfig(
            connection=connection, topic=topic, group=group, assignment=Assignment.RANGE
        )

    def test_two_ways_of_sharing_in_one_group_are_refused(self, connection, make_topic, group):
        topic = make_topic()
        cooperative = SourceConfig(connection=connection, topic=topic, group=group)
        with (
            cooperative.open() as first,
            self.source_config(connection, topic, group).open() as second,
        ):
            member = Member(first)
            wait_until(lambda: member.step() and member.held, within=15)
            with pytest.raises(SettingsError, match=r"kafka\.assignment"):
                wait_until(lambda: second.poll(timeout_s=0.1, max_records=1).assigned, within=15)

    settled = staticmethod(KafkaClientContract.settled)
    test_two_members_share_and_hand_over = KafkaClientContract.test_two_members_share_and_hand_over


class TestMembership(MembershipContract):
    def source_config(self, connection: Connection, topic: str, group: str) -> SourceConfig:
        return SourceConfig(connection=connection, topic=topic, group=group)

    def named(self, connection: Connection, topic: str, group: str, member: str) -> SourceConfig:
        return SourceConfig(connection=connection, topic=topic, group=group, member=member)
