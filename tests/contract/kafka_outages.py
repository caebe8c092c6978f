"""The part of the contract about a source whose broker is away, and about waiting for it."""

from __future__ import annotations

import logging
import time

import pytest

from tests.contract.kafka_contract import LEAKS_SOCKETS, KafkaContract, fresh_topics, numbered
from tests.support.broker import produce
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.broker.embedded import EmbeddedBroker
from workers.errors import BrokerUnavailableError, StoppedError
from workers.kafka.client import Connection

pytestmark = pytest.mark.kafka


class KafkaOutagesContract(KafkaContract):
    """A source waits for its broker, says so once, and goes on."""

    @LEAKS_SOCKETS
    def test_a_source_outlives_its_broker_and_says_so_once(
        self, victim: EmbeddedBroker, victim_connection: Connection, group: str, caplog
    ):
        (topic,) = fresh_topics(victim_connection, 1)
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
        (topic,) = fresh_topics(victim_connection, 1)
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
