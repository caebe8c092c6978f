"""What every Kafka client behind the seam must do. Derive, name the configurations, and pass.

A second client passes by one class::

    class TestConfluent(KafkaClientContract):
        def source_config(self, connection, topic, group): ...
        def sink_config(self, connection, **limits): ...
"""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from kafka import KafkaProducer

from tests.support.broker import produce, read_all
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.errors import (
    BrokerUnavailableError,
    OutputsLostError,
    PoisonRecordError,
    SettingsError,
    StoppedError,
    TopicError,
    TransactionAbortedError,
)
from workers.kafka.client import Committed, OpensSink, OpensSource, Source
from workers.kafka.deadline import Deadline
from workers.kafka.embedded import EmbeddedBroker
from workers.kafka.kafka_python import Connection
from workers.kafka.topics import TopicSpec, create_topics

pytestmark = pytest.mark.kafka

# kafka-python leaves refused sockets to the garbage collector; `victim_connection` collects them.
LEAKS_SOCKETS = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

# From the Java client's own tests (UtilsTest.testMurmur2), as partition = (hash & 0x7fffffff) % n.
JAVA_MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def numbered(count: int, *, partition: int = 0, start: int = 0) -> list[dict[str, Any]]:
    """Records whose values are their number."""
    return [
        {"value": str(n).encode(), "key": b"k", "partition": partition}
        for n in range(start, start + count)
    ]


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds)


class KafkaClientContract:
    """The tests; see the module."""

    def source_config(self, connection: Connection, topic: str, group: str) -> OpensSource:
        raise NotImplementedError

    def sink_config(self, connection: Connection, **limits: Any) -> OpensSink:
        raise NotImplementedError

    @pytest.fixture
    def open_source(self, connection: Connection, group: str) -> Iterator[Callable[[str], Source]]:
        """Open sources of this test's group; they are closed at its end."""
        with ExitStack() as stack:
            yield lambda topic: stack.enter_context(
                self.source_config(connection, topic, group).open()
            )

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
        options = connection.producer_options() | {"transactional_id": topic}
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

    # Positions -------------------------------------------------------------------------------

    def test_a_commit_keeps_offset_and_metadata(self, connection, make_topic, open_source):
        topic = make_topic(partitions=2)
        source = open_source(topic)
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held == {0, 1}, within=15)
        assert source.committed(0) is None

        largest = "é" * 2048  # 4,096 bytes
        wanted = {0: Committed(next_offset=3, metadata=largest), 1: Committed(next_offset=0)}
        source.commit(wanted, member.generation, deadline=soon())

        assert {p: source.committed(p) for p in (0, 1)} == wanted

    def test_metadata_beyond_the_limit_is_a_matter_of_settings(self, make_topic, open_source):
        member = Member(open_source(make_topic())).starting()
        wait_until(lambda: member.step() and member.held == {0}, within=15)

        with pytest.raises(SettingsError, match="metadata"):
            member.source.commit(
                {0: Committed(next_offset=0, metadata="x" * 5000)},
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
            both = wait_until(
                lambda: self.settled([first, second], owners=4) and (first.held, second.held),
                within=30,
                what="two owners with two partitions each",
            )
            assert [len(held) for held in both] == [2, 2]

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
            with pytest.raises(TransactionAbortedError, match="taken away"):
                first.source.commit({moved: Committed(next_offset=1)}, old, deadline=soon())
            second.source.commit(
                {moved: Committed(next_offset=20, metadata="m")},
                second.generation,
                deadline=soon(),
            )

            leaver.close()
            wait_until(lambda: first.step() and first.held == {0, 1, 2, 3}, within=20)
            assert first.source.committed(moved) == Committed(next_offset=20, metadata="m")
            first.source.commit(
                {moved: Committed(next_offset=20)}, first.generation, deadline=soon()
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
            sink.commit({0: Committed(next_offset=9)}, member.generation, deadline=soon())

            found = read_all(connection, output)

        assert sorted(int(record.value) for record in found) == list(range(500))
        assert all(record.headers == [("a", record.value)] for record in found)
        assert source.committed(0) == Committed(next_offset=9)
        for key in {record.key for record in found}:
            ours = [record for record in found if record.key == key]
            assert len({record.partition for record in ours}) == 1
            assert [int(r.value) for r in ours] == sorted(int(r.value) for r in ours)

    def test_a_key_goes_to_the_partition_that_java_chooses(
        self, connection, make_topic, open_source
    ):
        output = make_topic(partitions=5)
        with self.sink_config(connection).open(open_source(make_topic())) as sink:
            sink.begin()
            for key in JAVA_MURMUR2:
                sink.send(output, key=key, value=key)
            sink.commit({}, self.nobody(), deadline=soon())

        found = {record.key: record.partition for record in read_all(connection, output)}
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
                assert sink.outstanding() <= 50
            sink.commit({}, self.nobody(), deadline=soon())
            assert sink.outstanding() == 0

        assert [int(r.value) for r in read_all(connection, output)] == list(range(500))

    def test_an_output_that_is_too_large_is_named_and_the_unit_goes_on(
        self, connection, make_topic, open_source
    ):
        output = make_topic()
        with self.sink_config(connection).open(open_source(make_topic())) as sink:
            sink.begin()
            with pytest.raises(PoisonRecordError, match="3000000 bytes"):
                sink.send(output, key=None, value=b"x" * 3_000_000)
            sink.send(output, key=None, value=b"fits")
            sink.commit({}, self.nobody(), deadline=soon())

        assert [record.value for record in read_all(connection, output)] == [b"fits"]

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
            with pytest.raises(SettingsError, match="too large"):
                sink.commit({0: Committed(next_offset=5)}, member.generation, deadline=soon())
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
            sink.commit({0: Committed(next_offset=1)}, member.generation, deadline=soon())

        assert [record.value for record in read_all(connection, output)][-1] == b"second"
        assert source.committed(0) == Committed(next_offset=1)

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
        topic, output = self.fresh(victim_connection, 2)
        with self.source_config(victim_connection, topic, group).open() as source:
            member = Member(source).starting()
            wait_until(lambda: member.step() and member.held == {0}, within=15)
            with self.sink_config(victim_connection).open(source) as sink:
                sink.begin()
                sink.send(output, key=b"k", value=b"0")
                sink.commit({0: Committed(next_offset=1)}, member.generation, deadline=soon())

                victim.suspend()
                try:
                    sink.begin()
                    for n in range(1, 4):
                        sink.send(output, key=b"k", value=b"%d" % n)
                    with pytest.raises(OutputsLostError, match="did not reach"):
                        sink.commit(
                            {0: Committed(next_offset=4)}, member.generation, deadline=soon(1.0)
                        )
                    sink.abort()
                finally:
                    victim.resume()
                assert source.committed(0) == Committed(next_offset=1)

                wait_until(lambda: member.step() and member.held == {0}, within=20)
                sink.begin()
                for n in range(1, 4):
                    sink.send(output, key=b"k", value=b"%d" % n)
                sink.commit({0: Committed(next_offset=4)}, member.generation, deadline=soon())
                assert source.committed(0) == Committed(next_offset=4)
        found = [int(record.value) for record in read_all(victim_connection, output)]
        assert set(found) == {0, 1, 2, 3}
        assert found[-3:] == [1, 2, 3]

    @LEAKS_SOCKETS
    def test_a_source_outlives_its_broker_and_says_so_once(
        self, victim: EmbeddedBroker, victim_connection: Connection, group: str, caplog
    ):
        (topic,) = self.fresh(victim_connection, 1)
        produce(victim_connection, topic, numbered(10))
        caplog.set_level(logging.INFO, logger="workers")
        with self.source_config(victim_connection, topic, group).open() as source:
            member = Member(source).starting()
            wait_until(lambda: member.step() and len(member.values(0)) == 10, within=15)

            victim.kill()
            wait_until(
                lambda: member.step(timeout_s=0.2) and self.said(caplog, "does not answer"),
                within=15,
            )
            with pytest.raises(BrokerUnavailableError):
                source.committed(0)
            ended = time.monotonic() + 4
            wait_until(lambda: member.step(timeout_s=0.2) and time.monotonic() > ended, within=8)
            victim.start()

            produce(victim_connection, topic, numbered(10, start=10))
            wait_until(
                lambda: member.step(timeout_s=0.2) and b"19" in member.values(0),
                within=40,
            )
            wait_until(lambda: member.step() and self.said(caplog, "is back"), within=10)

        assert self.said(caplog, "does not answer") == 1
        assert self.said(caplog, "is back") == 1
        assert set(member.values(0)) == {b"%d" % n for n in range(20)}

    @LEAKS_SOCKETS
    def test_opening_waits_for_an_absent_broker(
        self, victim: EmbeddedBroker, victim_connection: Connection, group: str, caplog
    ):
        (topic,) = self.fresh(victim_connection, 1)
        victim.kill()
        asked = 0

        def start_at_the_second_question() -> bool:
            nonlocal asked
            asked += 1
            if asked == 2:
                victim.start()
            return False

        config = self.source_config(victim_connection, topic, group)
        with config.open(should_stop=start_at_the_second_question) as source:
            member = Member(source)
            wait_until(lambda: member.step() and member.held == {0}, within=20)

        assert asked >= 2
        assert self.said(caplog, "no broker answers") == 1

    @staticmethod
    def said(caplog: pytest.LogCaptureFixture, words: str) -> int:
        return sum(words in record.getMessage() for record in caplog.records)

    @staticmethod
    def fresh(connection: Connection, count: int) -> list[str]:
        """Topics on the broker of this contract."""
        names = [f"victim-{time.time_ns()}-{n}" for n in range(count)]
        create_topics(connection, [TopicSpec(name=name) for name in names])
        return names

    def test_waiting_ends_when_asked_to_stop(self, free_port: int):
        absent = Connection(bootstrap=f"localhost:{free_port}")

        with (
            pytest.raises(StoppedError, match=str(free_port)),
            self.source_config(absent, "t", "g").open(should_stop=lambda: True),
        ):
            pass

    def test_waiting_ends_with_its_time(self, free_port: int):
        absent = Connection(bootstrap=f"localhost:{free_port}", wait_timeout_s=0.1)

        with (
            pytest.raises(BrokerUnavailableError, match="vigie broker start"),
            self.source_config(absent, "t", "g").open(),
        ):
            pass

    # Configuration ---------------------------------------------------------------------------

    def test_a_missing_topic_is_named(self, connection, group):
        with (
            pytest.raises(TopicError, match=r"no-such-topic.*vigie topics create"),
            self.source_config(connection, "no-such-topic", group).open(),
        ):
            pass

    def test_configurations_travel_to_other_processes(self, connection):
        source = self.source_config(connection, "t", "g")
        sink = self.sink_config(connection)

        assert pickle.loads(pickle.dumps((source, sink))) == (source, sink)

    def test_no_configuration_prints_a_secret(self):
        secret = Connection(bootstrap="b:1", options={"sasl_plain_password": "hunter2"})

        shown = repr((self.source_config(secret, "t", "g"), self.sink_config(secret)))

        assert "hunter2" not in shown
