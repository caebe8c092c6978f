"""The part of the contract that only an exactly-once sink keeps."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient

from tests.contract.clients import CLIENTS
from tests.contract.kafka_contract import LEAKS_SOCKETS, KafkaContract, fresh_topics, soon
from tests.support.broker import produce, read_all, read_settled, suspend
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.errors import (
    BrokerUnavailableError,
    FencedError,
    SettingsError,
    StaleGenerationError,
    TransactionAbortedError,
)
from workers.kafka.client import (
    CommittedOffset,
    Connection,
    Generation,
    GroupMember,
    OpensSink,
    Sink,
)
from workers.kafka.kafka_python.options import admin_options

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
TRANSACTION_S = 8.0  # what the sinks of this contract have; nobody may have to wait for it
AT_ONCE_S = 4.0


class TransactionalContract(KafkaContract):
    """A unit is visible whole, together with its offsets, or never."""

    def sink_config(self, connection: Connection, **limits: Any) -> OpensSink:
        name = f"test-{uuid.uuid4().hex[:12]}"
        return self.client.transactional_sink(connection, name, **limits)

    @staticmethod
    def joined(source: GroupMember) -> Member:
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held, within=15)
        return member

    @staticmethod
    def values(connection: Connection, topic: str) -> list[bytes]:
        """What a reader of committed records sees in the end, in order within each partition."""
        return [record.value for record in read_settled(connection, topic)]

    def reads_on(self, connection: Connection, output: str) -> bool:
        """Whether a reader gets at what comes behind everything so far; it waits for open units."""
        marker = uuid.uuid4().hex.encode()
        produce(connection, output, [{"value": marker, "key": b"k", "partition": 0}])
        wait_until(
            lambda: marker in {record.value for record in read_all(connection, output)},
            within=AT_ONCE_S,
        )
        return True

    # Whole or not at all ----------------------------------------------------------------------

    def test_outputs_and_offsets_are_visible_together(self, connection, make_topic, open_source):
        source, output = open_source(make_topic()), make_topic(partitions=2)
        member = self.joined(source)
        with self.sink_config(connection, max_outputs=4).open(source) as sink:
            for n in range(10):  # beyond the limit: they are with the broker before the commit
                sink.send(output, key=b"k%d" % n, value=b"%d" % n)
            assert read_all(connection, output) == []
            assert source.committed(0) is None

            wanted = CommittedOffset(next_offset=3, metadata="m")
            sink.commit({0: wanted}, member.generation, deadline=soon())

            assert sorted(self.values(connection, output)) == [b"%d" % n for n in range(10)]
            assert source.committed(0) == wanted

    def test_an_aborted_unit_is_never_seen_and_nobody_waits_for_it(
        self, connection, make_topic, open_source
    ):
        source, output = open_source(make_topic()), make_topic()
        member = self.joined(source)
        with self.sink_config(connection, max_outputs=2).open(source) as sink:
            for n in range(5):
                sink.send(output, key=b"k", value=b"aborted %d" % n)
            sink.abort()
            assert self.reads_on(connection, output)
            sink.begin()
            sink.send(output, key=b"k", value=b"kept")
            sink.commit({0: CommittedOffset(next_offset=1)}, member.generation, deadline=soon())

            sink.begin()
            sink.send(output, key=b"k", value=b"forgotten")
            sink.begin()  # without an end
            sink.commit({}, member.generation, deadline=soon())

        seen = self.values(connection, output)
        assert b"kept" in seen
        assert not any(value.startswith((b"aborted", b"forgotten")) for value in seen)

    def test_units_without_outputs_or_without_offsets_are_units(
        self, connection, make_topic, open_source
    ):
        source, output = open_source(make_topic()), make_topic()
        member = self.joined(source)
        with self.sink_config(connection).open(source) as sink:
            sink.commit({0: CommittedOffset(next_offset=4)}, member.generation, deadline=soon())
            assert source.committed(0) == CommittedOffset(next_offset=4)
            sink.begin()
            sink.commit({}, member.generation, deadline=soon())
            sink.begin()
            sink.send(output, key=b"k", value=b"v")
            sink.commit({}, member.generation, deadline=soon())

        assert self.values(connection, output) == [b"v"]
        assert source.committed(0) == CommittedOffset(next_offset=4)

    def test_a_sink_that_closes_leaves_no_open_unit(self, connection, make_topic, open_source):
        output = make_topic()
        with self.sink_config(connection, max_outputs=1).open(open_source(make_topic())) as sink:
            for n in range(3):
                sink.send(output, key=b"k", value=b"%d" % n)

        assert self.reads_on(connection, output)
        assert len(self.values(connection, output)) == 1

    # Predecessors and rivals -------------------------------------------------------------------

    def test_what_a_killed_process_left_open_is_never_seen_and_its_successor_clears_it(
        self, connection, make_topic, group
    ):
        topic, output, name = make_topic(), make_topic(), f"worker-{uuid.uuid4().hex[:8]}"
        client_name = next(name for name, client in CLIENTS.items() if client is self.client)
        arguments = [client_name, connection.bootstrap, topic, group, output, name]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.half_a_unit", *arguments],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"half\n"
            process.kill()

        with ExitStack() as stack:
            source = stack.enter_context(self.named(connection, topic, group, name).open())
            began = time.monotonic()
            sink = stack.enter_context(
                self.client.transactional_sink(connection, name).open(source)
            )
            assert self.reads_on(connection, output)
            assert time.monotonic() - began < TRANSACTION_S / 2
            member = self.joined(source)
            assert source.committed(0) is None
            sink.send(output, key=b"k", value=b"repeated")
            sink.commit({0: CommittedOffset(next_offset=1)}, member.generation, deadline=soon())

        assert not any(value.startswith(b"orphan") for value in self.values(connection, output))

    def test_a_predecessor_that_still_runs_cannot_commit(self, connection, make_topic, open_source):
        source, output = open_source(make_topic()), make_topic()
        member, name = self.joined(source), f"worker-{uuid.uuid4().hex[:8]}"
        with self.client.transactional_sink(connection, name).open(source) as zombie:
            zombie.send(output, key=b"k", value=b"zombie")
            with self.client.transactional_sink(connection, name).open(source) as successor:
                with pytest.raises(TransactionAbortedError):
                    zombie.commit(
                        {0: CommittedOffset(next_offset=1)}, member.generation, deadline=soon()
                    )
                successor.send(output, key=b"k", value=b"successor")
                successor.commit(
                    {0: CommittedOffset(next_offset=2)}, member.generation, deadline=soon()
                )
                zombie.abort()
            # It cannot tell a rival from a transaction that took too long: it may come back.
            zombie.begin()
            zombie.send(output, key=b"k", value=b"back")
            zombie.commit({0: CommittedOffset(next_offset=3)}, member.generation, deadline=soon())

        assert self.values(connection, output) == [b"successor", b"back"]
        assert source.committed(0) == CommittedOffset(next_offset=3)

    # Groups --------------------------------------------------------------------------------------

    @contextmanager
    def old_and_new(
        self, connection: Connection, topic: str, group: str
    ) -> Iterator[tuple[Member, Generation]]:
        """A member that kept partition 0 through rebalances, and a generation from before."""
        config = self.source_config(connection, topic, group)
        with config.open() as source:
            member = self.joined(source)
            old = member.generation
            with config.open() as other:
                rival = Member(other)
                wait_until(lambda: member.step() and rival.step() and rival.held, within=20)
            wait_until(lambda: member.step() and len(member.held) == 2, within=20)
            source.check_held({0}, old)
            yield member, old

    def test_offsets_under_an_old_generation_are_refused_even_for_a_kept_partition(
        self, connection, make_topic, group
    ):
        output = make_topic()
        with (
            self.old_and_new(connection, make_topic(partitions=2), group) as (member, old),
            self.sink_config(connection).open(member.source) as sink,
        ):
            sink.send(output, key=b"k", value=b"refused")
            with pytest.raises(StaleGenerationError):
                sink.commit({0: CommittedOffset(next_offset=5)}, old, deadline=soon())
            sink.abort()
            sink.begin()
            assert member.source.committed(0) is None

            sink.send(output, key=b"k", value=b"repeated")
            sink.commit({1: CommittedOffset(next_offset=7)}, member.generation, deadline=soon())
            assert member.source.committed(1) == CommittedOffset(next_offset=7)
            assert member.source.committed(0) is None, "what was refused came with the next unit"
        assert self.values(connection, output) == [b"repeated"]

    def test_a_partition_that_was_taken_away_is_not_committed(self, connection, make_topic, group):
        output = make_topic()
        config = self.source_config(connection, make_topic(partitions=2), group)
        with (
            config.open() as source,
            config.open() as other,
            self.sink_config(connection).open(source) as sink,
        ):
            member = self.joined(source)
            old, rival = member.generation, Member(other)
            sink.send(output, key=b"k", value=b"of another")
            wait_until(lambda: member.step() and rival.step() and rival.held, within=20)
            with pytest.raises(StaleGenerationError, match="taken away"):
                sink.commit({min(rival.held): CommittedOffset(next_offset=5)}, old, deadline=soon())
            sink.abort()

        assert self.values(connection, output) == []

    def test_a_worker_whose_name_another_one_has_is_fenced_when_it_commits(
        self, connection, make_topic, group
    ):
        topic, output = make_topic(), make_topic()
        config = self.named(connection, topic, group, "worker")
        with config.open() as source, self.sink_config(connection).open(source) as sink:
            member = self.joined(source)
            sink.send(output, key=b"k", value=b"fenced")
            with config.open() as other:
                self.joined(other)
                with pytest.raises(FencedError):
                    sink.commit(
                        {0: CommittedOffset(next_offset=1)}, member.generation, deadline=soon()
                    )
                sink.abort()
        assert self.values(connection, output) == []

    def test_metadata_beyond_the_limit_is_a_matter_of_settings(
        self, connection, make_topic, open_source
    ):
        source = open_source(make_topic())
        member = self.joined(source)
        with self.sink_config(connection).open(source) as sink:
            large = CommittedOffset(next_offset=0, metadata="x" * 5000)
            with pytest.raises(SettingsError, match="metadata"):
                sink.commit({0: large}, member.generation, deadline=soon())

    # A broker that does not answer ---------------------------------------------------------------

    @pytest.mark.parametrize("arrives", [True, False])
    def test_after_a_commit_without_an_answer_the_committed_offsets_tell(
        self, arrives, connection, make_topic, open_source
    ):
        source, output = open_source(make_topic()), make_topic()
        member = self.joined(source)
        with self.sink_config(connection).open(source) as sink:
            self.client.lose_answer(sink, arrives=arrives)
            sink.send(output, key=b"k", value=b"v")
            with pytest.raises(TransactionAbortedError, match="as far as known"):
                sink.commit({0: CommittedOffset(next_offset=5)}, member.generation, deadline=soon())
            began = time.monotonic()
            sink.abort()
            committed = source.committed(0)
            assert time.monotonic() - began < AT_ONCE_S
            sink.begin()
            sink.commit({}, member.generation, deadline=soon())

        assert committed == (CommittedOffset(next_offset=5) if arrives else None)
        assert self.values(connection, output) == ([b"v"] if arrives else [])

    def test_offsets_of_a_topic_that_was_deleted_hold_nobody_longer_than_the_deadline(
        self, connection, make_topic, open_source
    ):
        topic, output = make_topic(), make_topic()
        source = open_source(topic)
        member = self.joined(source)
        admin = KafkaAdminClient(**admin_options(connection))
        try:
            admin.delete_topics([topic])
        finally:
            admin.close()
        with self.sink_config(connection).open(source) as sink:
            sink.send(output, key=b"k", value=b"v")
            began = time.monotonic()
            with pytest.raises(TransactionAbortedError, match="in time"):
                sink.commit(
                    {0: CommittedOffset(next_offset=1)}, member.generation, deadline=soon(1.0)
                )
            sink.abort()
            assert time.monotonic() - began < 1.0 + AT_ONCE_S
        assert self.values(connection, output) == []

    @LEAKS_SOCKETS
    @pytest.mark.parametrize("step", ["offsets", "commit"])
    def test_a_frozen_broker_holds_nobody_longer_than_the_deadline(
        self, step, victim, victim_connection, group
    ):
        topic, output = fresh_topics(victim_connection, 2)
        with self.source_config(victim_connection, topic, group).open() as source:
            member = self.joined(source)
            with self.sink_config(victim_connection).open(source) as sink:
                self.client.freeze_at(sink, step, victim)
                try:
                    sink.send(output, key=b"k", value=b"v")
                    began = time.monotonic()
                    with pytest.raises(TransactionAbortedError, match="in time"):
                        sink.commit(
                            {0: CommittedOffset(next_offset=1)},
                            member.generation,
                            deadline=soon(2.0),
                        )
                    sink.abort()
                    assert time.monotonic() - began < 2.0 + AT_ONCE_S
                finally:
                    victim.resume()
                wait_until(lambda: self.begins(sink), within=20)
                committed = source.committed(0)
                assert (self.values(victim_connection, output) == [b"v"]) == (committed is not None)

    @LEAKS_SOCKETS
    def test_an_abort_on_a_frozen_broker_returns(self, victim, victim_connection, group):
        topic, output = fresh_topics(victim_connection, 2)
        with (
            self.source_config(victim_connection, topic, group).open() as source,
            self.sink_config(victim_connection, max_outputs=1).open(source) as sink,
        ):
            sink.send(output, key=b"k", value=b"0")
            sink.send(output, key=b"k", value=b"1")  # the first one is with the broker
            suspend(victim)
            try:
                began = time.monotonic()
                sink.abort()
                assert time.monotonic() - began < AT_ONCE_S
            finally:
                victim.resume()
            wait_until(lambda: self.begins(sink), within=20)
            sink.send(output, key=b"k", value=b"2")
            sink.commit({}, Generation(token=None, epochs={}), deadline=soon())
        assert self.values(victim_connection, output) == [b"2"]

    @staticmethod
    def begins(sink: Sink) -> bool:
        try:
            sink.begin()
        except BrokerUnavailableError:
            return False
        return True
