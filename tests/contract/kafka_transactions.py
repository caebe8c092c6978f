"""The part of the contract that only an exactly-once sink keeps."""

from __future__ import annotations

import pytest

from tests.contract.kafka_contract import KafkaContract, soon
from tests.support.broker import read_all
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.kafka.client import Committed, Source

pytestmark = pytest.mark.kafka


class TransactionalContract(KafkaContract):
    """A unit is visible whole, together with its offsets, or never."""

    @staticmethod
    def joined(source: Source) -> Member:
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held, within=15)
        return member

    def test_outputs_and_offsets_are_visible_together_or_not_at_all(
        self, connection, make_topic, open_source
    ):
        source, output = open_source(make_topic()), make_topic(partitions=2)
        member = self.joined(source)
        with self.sink_config(connection).open(source) as sink:
            sink.begin()
            for n in range(10):
                sink.send(output, key=b"k%d" % n, value=b"%d" % n)
            sink.commit(
                {0: Committed(next_offset=3, metadata="m")}, member.generation, deadline=soon()
            )
            assert sorted(int(r.value) for r in read_all(connection, output)) == list(range(10))
            assert source.committed(0) == Committed(next_offset=3, metadata="m")

            sink.begin()
            sink.send(output, key=b"k", value=b"aborted")
            sink.abort()
            sink.begin()
            sink.commit({0: Committed(next_offset=4)}, member.generation, deadline=soon())
            sink.begin()
            sink.send(output, key=b"k", value=b"last")
            sink.commit({}, member.generation, deadline=soon())

        assert source.committed(0) == Committed(next_offset=4)
        values = [record.value for record in read_all(connection, output)]
        assert b"aborted" not in values
        assert b"last" in values
