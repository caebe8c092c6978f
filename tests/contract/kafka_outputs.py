"""The part of the contract about outputs, and what an outage does to them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.kafka_contract import (
    JAVA_MURMUR2,
    LEAKS_SOCKETS,
    KafkaContract,
    fresh_topics,
    soon,
)
from tests.support.broker import read_settled, suspend
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.broker.embedded import EmbeddedBroker
from workers.errors import (
    BrokerUnavailableError,
    OutputsLostError,
    PoisonRecordError,
    SettingsError,
    TopicError,
    TransactionAbortedError,
)
from workers.kafka.client import LARGEST_OUTPUT_BYTES, CommittedOffset, Connection, GroupMember

pytestmark = pytest.mark.kafka


class KafkaOutputsContract(KafkaContract):
    """Outputs are committed whole or not at all, whatever the broker does."""

    # Outputs ---------------------------------------------------------------------------------

    def test_outputs_are_in_the_log_when_the_commit_returns(
        self, connection, make_topic, open_source
    ):
        source_topic, output = make_topic(), make_topic(partitions=3)
        source = open_source(source_topic)
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held == {0}, within=15)
        with self.sink_config(connection).open(source) as sink:
            sink.begin()
            for n in range(500):
                sink.send(output, key=b"s%d" % (n % 7), value=b"%d" % n, headers=[("a", b"%d" % n)])
            sink.commit({0: CommittedOffset(next_offset=9)}, member.generation, deadline=soon())

            found = read_settled(connection, output)

        assert sorted(int(record.value) for record in found) == list(range(500))
        assert all(record.headers == [("a", record.value)] for record in found)
        assert source.committed(0) == CommittedOffset(next_offset=9)
        for key in {record.key for record in found}:
            ours = [record for record in found if record.key == key]
            assert len({record.partition for record in ours}) == 1
            assert [int(r.value) for r in ours] == sorted(int(r.value) for r in ours)

    def test_an_output_has_the_timestamp_that_it_is_given(
        self, connection, make_topic, open_source
    ):
        output, given = make_topic(), int(time.time() * 1e3) - 60_000
        with self.sink_config(connection).open(open_source(make_topic())) as sink:
            sink.begin()
            for place in ({"key": b"k"}, {"key": None, "partition": 0}, {"key": None}):
                sink.send(output, value=b"given", timestamp_ms=given, **place)
                sink.send(output, value=b"now", **place)
            sink.commit({}, self.nobody(), deadline=soon())

        found = read_settled(connection, output)
        assert {r.timestamp for r in found if r.value == b"given"} == {given}
        assert all(r.timestamp > given + 50_000 for r in found if r.value == b"now")
        assert len(found) == 6

    def test_a_key_goes_to_the_partition_that_java_chooses(
        self, connection, make_topic, open_source
    ):
        output = make_topic(partitions=5)
        with self.sink_config(connection).open(open_source(make_topic())) as sink:
            sink.begin()
            for key in JAVA_MURMUR2:
                sink.send(output, key=key, value=key)
            sink.commit({}, self.nobody(), deadline=soon())

        found = {record.key: record.partition for record in read_settled(connection, output)}
        assert found == {key: (h & 0x7FFFFFFF) % 5 for key, h in JAVA_MURMUR2.items()}

    def test_the_limit_of_outputs_under_way_holds_and_loses_nothing(
        self, connection, make_topic, open_source
    ):
        output = make_topic()
        config = self.sink_config(connection, max_outputs=50, max_bytes=2000)
        with config.open(open_source(make_topic())) as sink:
            sink.begin()
            for n in range(500):
                sink.send(output, key=b"k", value=b"%0100d" % n)
                assert self.client.outstanding(sink) <= 50
            sink.commit({}, self.nobody(), deadline=soon())
            assert self.client.outstanding(sink) == 0

        assert [int(r.value) for r in read_settled(connection, output)] == list(range(500))

    def test_a_topic_that_is_not_there_is_named_in_time(self, connection, make_topic, open_source):
        brief = replace(connection, options={"max_block_ms": 1500})
        with self.sink_config(brief).open(open_source(make_topic())) as sink:
            for key in (b"k", None):
                with pytest.raises(TopicError, match=r"no-such-output .*vigie topics create"):
                    sink.send("no-such-output", key=key, value=b"v")
                sink.abort()
                sink.begin()

    def test_an_output_that_is_too_large_is_named_and_the_unit_goes_on(
        self, connection, make_topic, open_source
    ):
        output = make_topic()
        with self.sink_config(connection).open(open_source(make_topic())) as sink:
            sink.begin()
            with pytest.raises(PoisonRecordError, match="9000000 bytes"):
                sink.send(output, key=None, value=b"x" * 9_000_000)
            sink.send(output, key=None, value=b"fits")
            sink.commit({}, self.nobody(), deadline=soon())

        assert [record.value for record in read_settled(connection, output)] == [b"fits"]

    @pytest.mark.parametrize("key", [None, b"k" * 100])
    def test_the_room_of_a_sink_is_what_it_sends_and_the_broker_takes(
        self, key, connection, make_topic, open_source
    ):
        output = make_topic(**{"max.message.bytes": str(LARGEST_OUTPUT_BYTES)})
        headers = [("é" * 90, b"x" * 50_000), ("empty", None)]
        with self.sink_config(connection).open(open_source(make_topic())) as sink:
            sink.begin()
            room = sink.room(key=key, headers=headers)
            assert LARGEST_OUTPUT_BYTES - 60_000 < room < LARGEST_OUTPUT_BYTES
            largest = b"x" * room
            with pytest.raises(PoisonRecordError):
                sink.send(output, key=key, value=largest + b"x", headers=headers)
            sink.send(output, key=key, value=largest, headers=headers)
            sink.commit({}, self.nobody(), deadline=soon(30))

        (found,) = read_settled(connection, output)
        assert (found.key, found.value) == (key, largest)

    @pytest.mark.parametrize("key", [None, b"k"])
    def test_a_header_without_a_value_is_sent_with_an_empty_one(
        self, key, connection, make_topic, open_source
    ):
        output = make_topic()
        with self.sink_config(connection).open(open_source(make_topic())) as sink:
            sink.begin()
            sink.send(output, key=key, value=b"v", headers=(("a", None), ("b", b"1")))
            sink.commit({}, self.nobody(), deadline=soon())

        (found,) = read_settled(connection, output)
        assert list(found.headers) == [("a", b""), ("b", b"1")]

    def test_an_output_that_the_broker_refuses_is_never_committed_past(
        self, connection, make_topic, open_source
    ):
        source, output = open_source(make_topic()), make_topic(**{"max.message.bytes": "2000"})
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held == {0}, within=15)
        with self.sink_config(connection).open(source) as sink:
            sink.begin()
            sink.send(output, key=b"k", value=b"good")
            sink.send(output, key=b"k", value=b"x" * 5000)
            with pytest.raises(SettingsError, match=rf"{output} .*500\d bytes .*max.message.bytes"):
                sink.commit({0: CommittedOffset(next_offset=5)}, member.generation, deadline=soon())
            sink.abort()

        assert source.committed(0) is None

    def test_an_abort_commits_nothing_and_the_next_unit_works(
        self, connection, make_topic, open_source
    ):
        source, output = open_source(make_topic()), make_topic()
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held == {0}, within=15)
        with self.sink_config(connection).open(source) as sink:
            sink.begin()
            sink.send(output, key=b"k", value=b"first")
            sink.abort()
            sink.begin()
            sink.send(output, key=b"k", value=b"second")
            sink.commit({0: CommittedOffset(next_offset=1)}, member.generation, deadline=soon())

        assert [record.value for record in read_settled(connection, output)][-1] == b"second"
        assert source.committed(0) == CommittedOffset(next_offset=1)

    @staticmethod
    def nobody() -> Any:
        """A generation for a unit without offsets."""
        from workers.kafka.client import Generation

        return Generation(token=None, epochs={})

    # Outages ---------------------------------------------------------------------------------

    @LEAKS_SOCKETS
    def test_outputs_that_the_broker_did_not_take_are_never_committed_past(
        self, victim: EmbeddedBroker, victim_connection: Connection, group: str
    ):
        """Frozen in the middle of a unit: nothing is committed, and the repeat goes through."""
        topic, output = fresh_topics(victim_connection, 2)
        with self.source_config(victim_connection, topic, group).open() as source:
            member = Member(source).starting()
            wait_until(lambda: member.step() and member.held == {0}, within=15)
            with self.sink_config(victim_connection).open(source) as sink:
                sink.begin()
                sink.send(output, key=b"k", value=b"0")
                sink.commit({0: CommittedOffset(next_offset=1)}, member.generation, deadline=soon())

                suspend(victim)
                try:
                    sink.begin()
                    for n in range(1, 4):
                        sink.send(output, key=b"k", value=b"%d" % n)
                    with pytest.raises(OutputsLostError, match="did not reach"):
                        sink.commit(
                            {0: CommittedOffset(next_offset=4)},
                            member.generation,
                            deadline=soon(1.0),
                        )
                    sink.abort()
                finally:
                    victim.resume()
                assert source.committed(0) == CommittedOffset(next_offset=1)

                wait_until(lambda: member.step() and member.held == {0}, within=20)
                sink.begin()
                for n in range(1, 4):
                    sink.send(output, key=b"k", value=b"%d" % n)
                sink.commit({0: CommittedOffset(next_offset=4)}, member.generation, deadline=soon())
                assert source.committed(0) == CommittedOffset(next_offset=4)
        found = [int(record.value) for record in read_settled(victim_connection, output)]
        assert set(found) == {0, 1, 2, 3}
        assert found[-3:] == [1, 2, 3]

    @LEAKS_SOCKETS
    def test_committed_offsets_are_asked_for_anew(
        self, victim: EmbeddedBroker, victim_connection: Connection, group: str
    ):
        """A question that found no answer in time does not answer a later one."""
        (topic,) = fresh_topics(victim_connection, 1)
        with self.source_config(victim_connection, topic, group).open() as source:
            member = Member(source).starting()
            wait_until(lambda: member.step() and member.held == {0}, within=15)
            source.commit({0: CommittedOffset(next_offset=3)}, member.generation, deadline=soon())
            suspend(victim)
            try:
                with pytest.raises(BrokerUnavailableError):
                    source.committed(0)
            finally:
                victim.resume()
            wait_until(lambda: self.commits(source, member, 7), within=20)

            assert source.committed(0) == CommittedOffset(next_offset=7)

    @staticmethod
    def commits(source: GroupMember, member: Member, offset: int) -> bool:
        member.step()
        try:
            source.commit(
                {0: CommittedOffset(next_offset=offset)}, member.generation, deadline=soon(2)
            )
        except TransactionAbortedError:
            return False
        return True
