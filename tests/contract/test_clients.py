"""Each client passes the contract, with either guarantee and either way to share partitions."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.contract.kafka_admin import AdminContract
from tests.contract.kafka_client import KafkaClientContract
from tests.contract.kafka_contract import KafkaContract
from tests.contract.kafka_membership import MembershipContract
from tests.contract.kafka_outages import KafkaOutagesContract
from tests.contract.kafka_outputs import KafkaOutputsContract
from tests.contract.kafka_tables import KafkaTableContract
from tests.contract.kafka_tails import KafkaTailContract
from tests.contract.kafka_transactions import TransactionalContract
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.errors import SettingsError
from workers.kafka.client import Connection, OpensSink, OpensSource

pytestmark = pytest.mark.kafka


class TestAtLeastOnce(KafkaClientContract):
    """The source, and the outputs of at least once."""


class TestExactlyOnce(TransactionalContract, KafkaOutputsContract):
    """The outputs of exactly once, and what only it promises."""


class TestOutages(KafkaOutagesContract):
    """A source whose broker is away, whatever becomes of outputs."""


class TestMembership(MembershipContract):
    """Members that come, go and come back."""


class TestAdmin(AdminContract):
    """Topics and groups."""


class TestTables(KafkaTableContract):
    """Compacted topics, written exactly once."""

    def sink_config(self, connection: Connection, **limits: Any) -> OpensSink:
        return self.client.transactional_sink(connection, f"tx-{uuid.uuid4().hex[:12]}", **limits)


class TestTails(KafkaTailContract):
    """Compacted topics that are read on and on."""


class TestTablesAtLeastOnce(KafkaContract):
    """Only what the sink can change."""

    table_config = KafkaTableContract.table_config
    test_a_tombstone = KafkaTableContract.test_a_tombstone_ends_a_key
    test_a_partition = KafkaTableContract.test_a_partition_is_taken_as_it_is_named


class TestRangeAssignment(KafkaContract):
    """Only what the way of sharing can change."""

    def source_config(self, connection: Connection, topic: str, group: str) -> OpensSource:
        return self.client.source(connection, topic, group, assignment="range")

    def test_two_ways_of_sharing_in_one_group_are_refused(self, connection, make_topic, group):
        topic = make_topic()
        with (
            self.client.source(connection, topic, group).open() as first,
            self.source_config(connection, topic, group).open() as second,
        ):
            member = Member(first)
            wait_until(lambda: member.step() and member.held, within=15)
            with pytest.raises(SettingsError, match=r"kafka\.assignment"):
                wait_until(lambda: second.poll(timeout_s=0.1, max_records=1).assigned, within=15)

    settled = staticmethod(KafkaClientContract.settled)
    test_two_members_share_and_hand_over = KafkaClientContract.test_two_members_share_and_hand_over
