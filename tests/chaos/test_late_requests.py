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
from kafka import KafkaAdminClient
from kafka.net.compat import KafkaNetClient
from kafka.protocol.producer import InitProducerIdRequest

from tests.chaos.cluster import Cluster, open_cluster
from tests.chaos.proxy import FAIR, Passage, Weather
from tests.contract.kafka_contract import LEAKS_SOCKETS, fresh_topics, soon
from tests.support.broker import read_all, read_settled
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.errors import TransactionAbortedError
from workers.kafka.client import CommittedOffset, Connection, Source
from workers.kafka.kafka_python.consumer.source import SourceConfig
from workers.kafka.kafka_python.options import admin_options
from workers.kafka.kafka_python.producer.transactional_sink import TransactionalSinkConfig

pytestmark = [pytest.mark.kafka, LEAKS_SOCKETS]

PRODUCE: Final = 0
TAKE_OVER: Final = 22
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
        name: transactional id of the sink.
        output: where the units go; the values are what a test gives.
    """

    cluster: Cluster
    name: str
    source: Source
    sink: Any
    member: Member
    output: str

    def send(self, value: bytes) -> None:
        self.sink.send(self.output, key=b"k", value=value)
        self.sink._settle(soon())

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

    def has_open_transaction(self) -> bool:
        """Whether the broker knows of one of the sink."""
        admin = KafkaAdminClient(**admin_options(self.cluster.direct))
        try:
            listed = admin.list_transactions(state_filters=["Ongoing"]).values()
        finally:
            admin.close()
        return self.name in {one.transactional_id for of_broker in listed for one in of_broker}

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
        yield Scene(cluster, name, source, sink, member, output)


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
        transactions = scene.sink._transactions
        commit = transactions.commit

        def deliver_and_commit(deadline: Any) -> None:
            deliver()
            commit(deadline)

        monkeypatch.setattr(transactions, "commit", deliver_and_commit)
        scene.commit(9)

    assert scene.seen_in_the_end() == [b"0", b"1"]
    assert scene.source.committed(0) == CommittedOffset(next_offset=9)


@pytest.mark.parametrize("kind", [ADD_PARTITIONS, ADD_OFFSETS])
def test_a_late_addition_opens_no_transaction(kind, scene):
    """It would open one without a unit; the broker ends it by its timeout, and fences the sink."""
    with scene.late(kind) as deliver:
        scene.send(b"0")
        scene.commit(5)
        deliver()

    assert not scene.has_open_transaction()
    scene.sink.begin()
    scene.send(b"1")
    scene.commit(9)
    assert scene.seen_in_the_end() == [b"0", b"1"]
    assert scene.source.committed(0) == CommittedOffset(next_offset=9)


def test_late_outputs_are_not_written_again(scene):
    """Their sequence numbers are old: nothing has to be done about them."""
    scene.send(b"first")
    with scene.late(PRODUCE) as deliver:
        scene.send(b"0")
        scene.commit(5)
        scene.sink.begin()
        scene.send(b"1")
        deliver()
    scene.commit(9)

    assert scene.seen_in_the_end() == [b"first", b"0", b"1"]


def test_a_late_takeover_costs_one_unit_and_nothing_else(scene, monkeypatch):
    """It fences the producer that is at work."""
    send = KafkaNetClient.send

    def late_from_here_on(self: Any, node_id: Any, request: Any, **options: Any) -> Any:
        if isinstance(request, InitProducerIdRequest):
            monkeypatch.undo()
            weather = scene.cluster.proxy.weather
            scene.cluster.proxy.set_weather(FAIR)
            scene.cluster.proxy.set_weather(weather)  # its connection is open now
        return send(self, node_id, request, **options)

    monkeypatch.setattr(KafkaNetClient, "send", late_from_here_on)
    scene.sink._discard()
    with scene.late(TAKE_OVER) as deliver:
        scene.sink.begin()
        scene.send(b"0")
        deliver()
    with pytest.raises(TransactionAbortedError):
        scene.commit(5)
    scene.sink.abort()
    assert scene.source.committed(0) is None
    scene.sink.begin()
    scene.send(b"again")
    scene.commit(5)

    assert scene.seen_in_the_end() == [b"again"]
    assert scene.source.committed(0) == CommittedOffset(next_offset=5)


def test_a_producer_whose_requests_were_all_answered_is_kept(scene):
    """The guard costs nothing where nothing was repeated."""
    producer = scene.sink._producer
    for n in range(3):
        scene.send(b"%d" % n)
        scene.commit(n + 1)
        scene.sink.begin()
    scene.sink.abort()

    assert scene.sink._producer is producer


def test_a_producer_whose_requests_are_not_counted_is_not_kept(scene):
    """A newer client may send them in another way."""
    producer = scene.sink._producer
    del producer._sender._client.send  # the counting one hides that of the class
    scene.send(b"0")
    scene.commit(1)

    assert scene.sink._producer is not producer
