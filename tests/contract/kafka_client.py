"""What every Kafka client behind the seam must do: assignment, order, commits.

The other parts stand beside it: `kafka_outputs`, `kafka_transactions`, `kafka_membership`,
`kafka_admin`. A second client is one more entry of `clients.CLIENTS`, and runs them all.
"""

from __future__ import annotations

import pickle
from contextlib import ExitStack

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from tests.contract.kafka_contract import (
    numbered,
    soon,
)
from tests.contract.kafka_outputs import KafkaOutputsContract
from tests.support.broker import produce
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.errors import (
    SettingsError,
    StaleGenerationError,
    TopicError,
)
from workers.kafka.admin import TopicSpec
from workers.kafka.client import CommittedOffset, Connection
from workers.kafka.kafka_python.options import admin_options, producer_options

pytestmark = pytest.mark.kafka


class KafkaClientContract(KafkaOutputsContract):
    """The tests; see the module."""

    # Assignment ------------------------------------------------------------------------------

    def test_an_assigned_partition_is_silent_until_started(
        self, connection, make_topic, open_source
    ):
        topic = make_topic(partitions=2)
        produce(connection, topic, numbered(5) + numbered(5, partition=1))
        member = Member(open_source(topic))

        wait_until(lambda: member.step() and member.held == {0, 1}, within=15)
        for _ in range(5):
            member.step()
        assert member.records == {}

        member.source.start(1, 0)
        wait_until(lambda: member.step() and len(member.values(1)) == 5, within=10)
        assert member.values(0) == []

    def test_records_come_once_in_order_with_all_their_parts(
        self, connection, make_topic, open_source
    ):
        topic = make_topic()
        produce(
            connection,
            topic,
            [
                {"value": b"%d" % n, "key": b"sensor-1", "headers": [("content-type", b"x/y")],
                 "timestamp_ms": 1_700_000_000_000 + n}
                for n in range(300)
            ],
        )  # fmt: skip
        member = Member(open_source(topic)).starting()

        wait_until(lambda: member.step(max_records=70) and len(member.values(0)) >= 300, within=15)

        records = member.records[0]
        assert [record.offset for record in records] == list(range(300))
        assert [record.value for record in records] == [b"%d" % n for n in range(300)]
        last = records[-1]
        assert (last.topic, last.partition, last.key) == (topic, 0, b"sensor-1")
        assert list(last.headers) == [("content-type", b"x/y")]
        assert last.timestamp == 1_700_000_000_299

    def test_a_poll_keeps_to_its_limit(self, connection, make_topic, open_source):
        topic = make_topic()
        produce(connection, topic, numbered(200))
        member = Member(open_source(topic)).starting()

        wait_until(lambda: member.step(max_records=7) and len(member.values(0)) >= 200, within=15)

        assert max(member.batch_sizes) <= 7

    def test_start_is_also_the_way_back(self, connection, make_topic, open_source):
        topic = make_topic()
        produce(connection, topic, numbered(50))
        member = Member(open_source(topic)).starting()
        wait_until(lambda: member.step() and len(member.values(0)) == 50, within=15)

        member.records.clear()
        member.source.start(0, 20)

        wait_until(lambda: member.step() and len(member.values(0)) >= 30, within=10)
        assert member.values(0) == [b"%d" % n for n in range(20, 50)]

    def test_a_paused_partition_is_silent_and_loses_nothing(
        self, connection, make_topic, open_source
    ):
        topic = make_topic(partitions=2)
        produce(connection, topic, numbered(100) + numbered(100, partition=1))
        member = Member(open_source(topic)).starting()
        wait_until(lambda: member.step(max_records=10) and member.records, within=15)
        (paused,) = member.records  # in the middle of what was fetched
        other = 1 - paused

        member.source.pause([paused])
        before = member.values(paused)
        wait_until(
            lambda: member.step(max_records=10) and len(member.values(other)) == 100, within=10
        )
        assert member.values(paused) == before

        member.source.resume([paused])
        wait_until(lambda: member.step() and len(member.values(paused)) >= 100, within=10)
        assert member.values(paused) == [b"%d" % n for n in range(100)]

    def test_calls_for_a_partition_that_is_not_held_are_ignored(
        self, connection, make_topic, open_source
    ):
        topic = make_topic()
        produce(connection, topic, numbered(3))
        member = Member(open_source(topic))
        wait_until(lambda: member.step() and member.held == {0}, within=15)

        member.source.start(7, 0)
        member.source.pause([7])
        member.source.resume([7, 0])  # 0 is held, but was never started

        for _ in range(5):
            member.step()
        assert member.records == {}

    def test_an_offset_outside_the_log_goes_to_its_beginning(
        self, connection, make_topic, open_source
    ):
        topic = make_topic()
        produce(connection, topic, numbered(10))
        member = Member(open_source(topic))
        wait_until(lambda: member.step() and member.held == {0}, within=15)

        member.source.start(0, 1000)

        wait_until(lambda: member.step() and len(member.values(0)) >= 10, within=10)
        assert member.values(0) == [b"%d" % n for n in range(10)]

    def test_aborted_records_stay_unseen(self, connection, make_topic, open_source):
        topic = make_topic()
        options = producer_options(connection) | {"transactional_id": topic}
        producer = KafkaProducer(**options)
        producer.init_transactions()
        for value, end in ((b"a", "commit"), (b"lost", "abort"), (b"b", "commit")):
            producer.begin_transaction()
            producer.send(topic, value, b"k")
            getattr(producer, f"{end}_transaction")()
        producer.close(timeout=5)
        member = Member(open_source(topic)).starting()

        wait_until(lambda: member.step() and len(member.values(0)) >= 2, within=15)
        wait_until(lambda: member.step() and member.source.lag() == {0: 0}, within=10)

        assert member.values(0) == [b"a", b"b"]
        assert member.lost == {}, "an aborted record is a hole, but no loss"

    def test_what_retention_deleted_unread_is_counted(self, connection, make_topic, open_source):
        topic = make_topic()
        produce(connection, topic, numbered(100))
        member = Member(open_source(topic)).starting()
        wait_until(lambda: member.step(max_records=10) and member.values(0), within=15)
        read = len(member.values(0))
        member.source.start(0, 1)  # back, so that nothing is in the client's buffer
        admin = KafkaAdminClient(**admin_options(connection))
        try:
            admin.delete_records({TopicPartition(topic, 0): 70})
        finally:
            admin.close()

        wait_until(lambda: member.step() and b"99" in member.values(0), within=15)

        assert member.lost == {0: 70 - 1}
        assert member.values(0)[read] == b"70"

    # Positions -------------------------------------------------------------------------------

    def test_a_commit_keeps_offset_and_metadata(self, connection, make_topic, open_source):
        topic = make_topic(partitions=2)
        source = open_source(topic)
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held == {0, 1}, within=15)
        assert source.committed(0) is None

        largest = "é" * 2048  # 4,096 bytes
        wanted = {
            0: CommittedOffset(next_offset=3, metadata=largest),
            1: CommittedOffset(next_offset=0),
        }
        source.commit(wanted, member.generation, deadline=soon())

        assert {p: source.committed(p) for p in (0, 1)} == wanted

    def test_metadata_beyond_the_limit_is_a_matter_of_settings(self, make_topic, open_source):
        member = Member(open_source(make_topic())).starting()
        wait_until(lambda: member.step() and member.held == {0}, within=15)

        with pytest.raises(SettingsError, match="metadata"):
            member.source.commit(
                {0: CommittedOffset(next_offset=0, metadata="x" * 5000)},
                member.generation,
                deadline=soon(),
            )

    def test_bounds_and_lag_tell_where_the_log_is(self, connection, make_topic, open_source):
        topic = make_topic()
        produce(connection, topic, numbered(40))
        member = Member(open_source(topic))
        wait_until(lambda: member.step() and member.held == {0}, within=15)
        assert member.source.bounds(0) == (0, 40)
        assert member.source.lag() == {}

        member.source.start(0, 0)
        wait_until(lambda: member.step(max_records=10) and member.values(0), within=10)
        assert member.source.lag() == {0: 40 - len(member.values(0))}

        wait_until(lambda: member.step() and member.source.lag() == {0: 0}, within=10)

    def test_a_partition_is_at_its_end_when_all_that_is_committed_was_given(
        self, connection, make_topic, open_source
    ):
        """The end of a transaction is no record, and stands behind the last one."""
        topic = make_topic()
        member = Member(open_source(topic))
        wait_until(lambda: member.step() and member.held == {0}, within=15)
        assert not member.source.at_end([0]), "nothing was asked for yet"
        member.source.start(0, 0)
        wait_until(lambda: member.step() and member.source.at_end([0]), within=10)

        with self.sink_config(connection).open(member.source) as sink:
            sink.begin()
            sink.send(topic, key=b"k", value=b"1", partition=0)
            sink.commit({}, self.nobody(), deadline=soon())
        wait_until(lambda: not member.source.at_end([0]), within=10)
        assert member.values(0) == []

        wait_until(lambda: member.step() and member.source.at_end([0]), within=10)
        assert member.values(0) == [b"1"]

    # Groups ----------------------------------------------------------------------------------

    def test_two_members_share_and_hand_over(self, connection, make_topic, group):
        """Every partition has one owner; who loses one may not commit it; none stands still."""
        topic = make_topic(partitions=4)
        with ExitStack() as stack:
            config = self.source_config(connection, topic, group)
            first = Member(stack.enter_context(config.open())).starting()
            wait_until(lambda: first.step() and first.held == {0, 1, 2, 3}, within=15)
            old = first.generation

            leaver = stack.enter_context(ExitStack())
            second = Member(leaver.enter_context(config.open())).starting()
            wait_until(
                lambda: self.settled([first, second], owners=4),
                within=30,
                what="two owners with two partitions each",
            )
            assert [len(first.held), len(second.held)] == [2, 2]

            for partition in range(4):
                produce(connection, topic, numbered(20, partition=partition))
            wait_until(
                lambda: (
                    self.settled([first, second], owners=4)
                    and all(len(first.values(p)) + len(second.values(p)) >= 20 for p in range(4))
                ),
                within=20,
            )
            moved = min(second.held)
            with pytest.raises(StaleGenerationError, match="taken away"):
                first.source.commit({moved: CommittedOffset(next_offset=1)}, old, deadline=soon())
            second.source.commit(
                {moved: CommittedOffset(next_offset=20, metadata="m")},
                second.generation,
                deadline=soon(),
            )

            leaver.close()
            wait_until(lambda: first.step() and first.held == {0, 1, 2, 3}, within=20)
            assert first.source.committed(moved) == CommittedOffset(next_offset=20, metadata="m")
            first.source.commit(
                {moved: CommittedOffset(next_offset=20)}, first.generation, deadline=soon()
            )
            produce(connection, topic, numbered(1, partition=moved, start=777))
            wait_until(lambda: first.step() and b"777" in first.values(moved), within=10)

    @staticmethod
    def settled(members: list[Member], *, owners: int) -> bool:
        """Step each member once; true if together they hold each partition once."""
        for member in members:
            member.step(timeout_s=0.1)
        return sum(len(member.held) for member in members) == owners and all(
            member.held for member in members
        )

    # Configuration ---------------------------------------------------------------------------

    def test_a_missing_topic_is_named(self, connection, group):
        with (
            pytest.raises(TopicError, match=r"no-such-topic.*vigie topics create"),
            self.source_config(connection, "no-such-topic", group).open(),
        ):
            pass

    def test_a_topic_made_anew_has_another_id_at_once(self, connection, make_topic, open_source):
        """What the client knew before would hand over the position in a log that is gone."""
        topic = make_topic()
        source = open_source(topic)
        before = source.topic_id()
        assert before == source.topic_id()

        admin = KafkaAdminClient(**admin_options(connection))
        try:
            admin.delete_topics([topic])
            wait_until(lambda: topic not in admin.list_topics(), within=15)
        finally:
            admin.close()
        self.client.admin(connection).create_topics([TopicSpec(name=topic)])

        assert source.topic_id() not in {before, ""}

    def test_configurations_travel_to_other_processes(self, connection):
        source = self.source_config(connection, "t", "g")
        sink = self.sink_config(connection)

        assert pickle.loads(pickle.dumps((source, sink))) == (source, sink)

    def test_no_configuration_prints_a_secret(self):
        secret = Connection(bootstrap="b:1", options={"sasl_plain_password": "hunter2"})

        shown = repr((self.source_config(secret, "t", "g"), self.sink_config(secret)))

        assert "hunter2" not in shown
