"""The clients that have to pass the contract: another one is one more entry of `CLIENTS`."""

from __future__ import annotations

from typing import Any, Protocol

from kafka.errors import KafkaTimeoutError

from tests.support.broker import suspend
from workers.broker.embedded import EmbeddedBroker
from workers.kafka.admin import Admin
from workers.kafka.client import Connection, OpensSink, OpensSource, OpensTable, OpensTail
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.admin.admin import KafkaPythonAdmin
from workers.kafka.kafka_python.consumer.source import SourceConfig
from workers.kafka.kafka_python.consumer.table import TableConfig
from workers.kafka.kafka_python.consumer.tail import TailConfig
from workers.kafka.kafka_python.producer.sink import SinkConfig
from workers.kafka.kafka_python.producer.transactional_sink import TransactionalSinkConfig


class Client(Protocol):
    """What the contract needs of a client: its parts, and the faults that are made inside it."""

    def source(
        self,
        connection: Connection,
        topic: str,
        group: str,
        *,
        member: str = "",
        assignment: str = "cooperative",
    ) -> OpensSource:
        """A member; with a name of its own if one is given."""

    def sink(self, connection: Connection, **limits: Any) -> OpensSink:
        """At least once."""

    def transactional_sink(self, connection: Connection, name: str, **limits: Any) -> OpensSink:
        """Exactly once, with this identity."""

    def table(self, connection: Connection, topic: str, **limits: Any) -> OpensTable:
        """A compacted topic."""

    def tail(self, connection: Connection, topic: str) -> OpensTail:
        """The same, read on and on."""

    def admin(self, connection: Connection) -> Admin: ...

    def outstanding(self, sink: Any) -> int:
        """How many outputs of the open unit were not looked at yet."""

    def flush(self, sink: Any) -> None:
        """Have every output of the open unit with the broker."""

    def lose_answer(self, sink: Any, *, arrives: bool) -> None:
        """Have the next commit time out; its request arrives at the broker, or does not."""

    def freeze_at(self, sink: Any, step: str, broker: EmbeddedBroker) -> None:
        """Have the broker suspended when the next unit comes to "offsets" or "commit"."""


class KafkaPython:
    """See `Client`."""

    def source(
        self,
        connection: Connection,
        topic: str,
        group: str,
        *,
        member: str = "",
        assignment: str = "cooperative",
    ) -> SourceConfig:
        return SourceConfig(
            connection=connection,
            topic=topic,
            group=group,
            member=member,
            assignment=assignment,
        )

    def sink(self, connection: Connection, **limits: Any) -> SinkConfig:
        return SinkConfig(connection=connection, **limits)

    def transactional_sink(
        self, connection: Connection, name: str, **limits: Any
    ) -> TransactionalSinkConfig:
        return TransactionalSinkConfig(connection=connection, transactional_id=name, **limits)

    def table(self, connection: Connection, topic: str, **limits: Any) -> OpensTable:
        return TableConfig(connection=connection, topic=topic, **limits)

    def tail(self, connection: Connection, topic: str) -> OpensTail:
        return TailConfig(connection=connection, topic=topic)

    def admin(self, connection: Connection) -> Admin:
        return KafkaPythonAdmin(connection)

    def outstanding(self, sink: Any) -> int:
        return len(sink._futures)

    def flush(self, sink: Any) -> None:
        sink._settle(Deadline.after(10))

    def lose_answer(self, sink: Any, *, arrives: bool) -> None:
        commit = sink._transactions.commit

        def commit_and_hear_nothing(deadline: Deadline) -> None:
            if arrives:
                commit(deadline)
            raise KafkaTimeoutError("no answer")

        sink._transactions.commit = commit_and_hear_nothing

    def freeze_at(self, sink: Any, step: str, broker: EmbeddedBroker) -> None:
        name = {"offsets": "add_offsets", "commit": "commit"}[step]
        proceed = getattr(sink._transactions, name)

        def freeze_and_proceed(*arguments: Any) -> None:
            suspend(broker)
            proceed(*arguments)

        setattr(sink._transactions, name, freeze_and_proceed)


CLIENTS: dict[str, Client] = {"kafka-python": KafkaPython()}
