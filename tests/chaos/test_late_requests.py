"""A transactional request whose first copy comes to the broker after its repetition succeeded.

kafka-python repeats such a request on a new connection when it lost the old one, and its success
says nothing about the first copy. Each test holds that copy back in the network until the next
transaction of the same producer is under way. On a real broker, with a real sink.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.chaos.cluster import Cluster, open_cluster
from tests.chaos.proxy import FAIR, Passage, Weather
from tests.contract.kafka_contract import LEAKS_SOCKETS, fresh_topics, soon
from tests.support.broker import read_all, read_settled
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.kafka.client import CommittedOffset, Sink, Source
from workers.kafka.kafka_python import Connection, SourceConfig, TransactionalSinkConfig

pytestmark = [pytest.mark.kafka, LEAKS_SOCKETS]

ADD_PARTITIONS: Final = 24
ADD_OFFSETS: Final = 25
END: Final = 26
COMMIT_OFFSETS: Final = 28


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with open_cluster(tmp_path_factory.mktemp("cluster")) as opened:
        yield opened


@dataclass
class Scene:
    """A member past the proxy, and a sink through it.

    Attributes:
        output: where the units go; the values are what a test gives.
    """

    cluster: Cluster
    source: Source
    sink: Sink
    member: Member
    output: str

    def send(self, value: bytes) -> None:
        self.sink.send(self.output, key=b"k", value=value)
        self.sink._settle(soon())  # type: ignore[attr-defined]

    def commit(self, next_offset: int) -> None:
        positions = {0: CommittedOffset(next_offset=next_offset)}
        self.sink.commit(positions, self.member.generation, deadline=soon())

    @contextmanager
    def late(self, kind: int) -> Iterator[Callable[[], None]]:
        """The first request of a kind becomes late in this block; gives what delivers it."""
        proxy = self.cluster.proxy
        held, answered = proxy.late_requests, proxy.late_answers

        def deliver() -> None:
            proxy.set_weather(FAIR)
            wait_until(lambda: proxy.late_answers > answered, within=10)

        proxy.set_weather(Weather(up=Passage.LATE, late_requests=(kind,)))
        try:
            yield deliver
        finally:
            proxy.set_weather(FAIR)
        assert proxy.late_requests == held + 1, "no request was late"

    def seen(self) -> list[bytes]:
        return [record.value for record in read_all(self.cluster.direct, self.output)]

    def seen_in_the_end(self) -> list[bytes]:
        return [record.value for record in read_settled(self.cluster.direct, self.output)]


@pytest.fixture
def scene(cluster: Cluster) -> Iterator[Scene]:
    topic, output = fresh_topics(cluster.direct, 2)
    name = f"late-{uuid.uuid4().hex[:12]}"
    source_config = SourceConfig(connection=cluster.direct, topic=topic, group=name)
    sink_config = TransactionalSinkConfig(
        connection=Connection(bootstrap=cluster.proxied, wait_timeout_s=20), transactional_id=name
    )
    with source_config.open() as source, sink_config.open(source) as sink:
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held, within=15)
        yield Scene(cluster, source, sink, member, output)


def test_a_late_commit_shows_nothing_of_the_next_unit(scene):
    """It would commit what the next unit has sent so far, without its offsets."""
    scene.send(b"0")
    with scene.late(END) as deliver:
        scene.commit(5)
        scene.sink.begin()
        scene.send(b"1")
        deliver()

    assert scene.seen() == [b"0"]
    scene.sink.abort()
    scene.sink.begin()
    scene.send(b"2")
    scene.commit(9)

    assert scene.seen_in_the_end() == [b"0", b"2"]


def test_a_late_abort_takes_nothing_from_the_next_unit(scene):
    """It would abort what the next unit has sent so far; its offsets would be committed."""
    scene.send(b"0")
    with scene.late(END) as deliver:
        scene.sink.abort()
        scene.sink.begin()
        scene.send(b"1")
        deliver()
    scene.commit(5)

    assert scene.seen_in_the_end() == [b"1"]
    assert scene.source.committed(0) == CommittedOffset(next_offset=5)


def test_late_offsets_do_not_take_back_those_of_the_next_unit(scene, monkeypatch):
    """They would be written behind the next unit's, and be committed with it."""
    scene.send(b"0")
    with scene.late(COMMIT_OFFSETS) as deliver:
        scene.commit(5)
        scene.sink.begin()
        scene.send(b"1")
        transactions: Any = scene.sink._transactions
        commit = transactions.commit

        def deliver_and_commit(deadline: Any) -> None:
            deliver()
            commit(deadline)

        monkeypatch.setattr(transactions, "commit", deliver_and_commit)
        scene.commit(9)

    assert scene.seen_in_the_end() == [b"0", b"1"]
    assert scene.source.committed(0) == CommittedOffset(next_offset=9)


@pytest.mark.parametrize("kind", [ADD_PARTITIONS, ADD_OFFSETS])
def test_a_late_addition_opens_no_transaction_that_nobody_ends(kind, scene):
    """It would be a transaction without a unit, and readers would wait until the broker ends it."""
    with scene.late(kind) as deliver:
        scene.send(b"0")
        scene.commit(5)
        scene.sink.begin()
        deliver()

    scene.send(b"1")
    scene.commit(9)
    assert scene.seen_in_the_end() == [b"0", b"1"]
    assert scene.source.committed(0) == CommittedOffset(next_offset=9)
