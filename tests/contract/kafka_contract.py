"""What all parts of the Kafka contract share."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.contract.clients import Client
from workers.kafka.admin import TopicSpec
from workers.kafka.client import Connection, GroupMember, OpensSink, OpensSource
from workers.kafka.deadline import Deadline
from workers.kafka.factory import admin_of

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


def fresh_topics(connection: Connection, count: int) -> list[str]:
    """Topics on a broker other than the one of this run."""
    names = [f"fresh-{uuid.uuid4().hex[:12]}" for _ in range(count)]
    admin_of(connection).create_topics([TopicSpec(name=name) for name in names])
    return names


class KafkaContract:
    """Runs once for each of `CLIENTS`; `sink_config` is what a guarantee may change."""

    client: Client

    @pytest.fixture(autouse=True)
    def _of_client(self, client: Client) -> None:
        self.client = client

    def source_config(self, connection: Connection, topic: str, group: str) -> OpensSource:
        return self.client.source(connection, topic, group)

    def named(self, connection: Connection, topic: str, group: str, member: str) -> OpensSource:
        """A member with a name of its own."""
        return self.client.source(connection, topic, group, member=member)

    def sink_config(self, connection: Connection, **limits: Any) -> OpensSink:
        return self.client.sink(connection, **limits)

    @pytest.fixture
    def open_source(
        self, connection: Connection, group: str
    ) -> Iterator[Callable[[str], GroupMember]]:
        """Open sources of this test's group; they are closed at its end."""
        with ExitStack() as stack:
            yield lambda topic: stack.enter_context(
                self.source_config(connection, topic, group).open()
            )
