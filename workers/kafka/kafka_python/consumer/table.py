"""The `Table` on kafka-python: a partition of a compacted topic, read to its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka import TopicPartition
from kafka.admin import OffsetSpec

from workers.errors import BrokerUnavailableError, TopicError
from workers.kafka.client import Connection, Table
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.access import Access
from workers.kafka.kafka_python.clients import make_admin, make_consumer
from workers.kafka.kafka_python.consumer.record_batch import unpack_fast
from workers.kafka.kafka_python.errors import asking

__all__ = ["TableConfig"]

_POLL_MS: Final = 100
_POLL_RECORDS: Final = 50_000
_CLOSE_TIMEOUT_MS: Final = 5000


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """How to look at a compacted topic. Picklable; opens nothing.

    Attributes:
        connection: the broker and the options of the client.
        topic: its name.
        client_id: shown in the broker's logs and tools.
        stall_timeout_s: give up when nothing came for so long although more must be there; less
            than a transaction may last, as its caller can ask again and do something in between.
    """

    connection: Connection
    topic: str
    client_id: str = "vigie-table"
    stall_timeout_s: float = 5.0

    @contextmanager
    def open(self) -> Iterator[Table]:
        """See `OpensTable`."""
        table = _Table(self)
        try:
            yield table
        finally:
            table.close()


class _Table:
    """See `workers.kafka.client.Table`."""

    def __init__(self, config: TableConfig) -> None:
        self._config, self._access = config, Access.reading(config.connection)
        self._consumer: Any = None
        self._admin: Any = None

    def latest(self, partition: int) -> Mapping[bytes, bytes]:
        tp = TopicPartition(self._config.topic, partition)
        try:
            with asking(f"reading {tp.topic}[{partition}]", self._access):
                self._open()
                # Committed records end where the first open transaction begins, so the consumer
                # cannot tell how far it has to read: who reads uncommitted ones can.
                asked = self._admin.list_partition_offsets({tp: OffsetSpec.LATEST})
                return self._read_to(tp, asked[tp].offset)
        except TopicError as error:
            raise BrokerUnavailableError(
                f"The topic {tp.topic} has no partition {partition} yet: vigie run adds partitions "
                "when the readings have more; if the topic is gone, create it with vigie topics "
                "create."
            ) from error

    def _read_to(self, tp: TopicPartition, end: int) -> Mapping[bytes, bytes]:
        consumer, found = self._consumer, dict[bytes, bytes]()
        consumer.assign([tp])
        try:
            consumer.seek_to_beginning(tp)
            deadline = Deadline.after(self._config.stall_timeout_s)
            reached = -1
            while (position := consumer.position(tp)) < end:
                if position > reached:
                    reached, deadline = position, Deadline.after(self._config.stall_timeout_s)
                elif deadline.is_over():
                    raise BrokerUnavailableError(
                        f"{tp.topic}[{tp.partition}] gave nothing for "
                        f"{self._config.stall_timeout_s:g} s behind offset {position}, its end is "
                        f"{end}: a transaction is open there, or the broker is away."
                    )
                polled = consumer.poll(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
                for record in polled.get(tp, ()):
                    if record.key is None:
                        continue
                    if record.value is None:
                        found.pop(record.key, None)
                    else:
                        found[record.key] = record.value
        finally:
            consumer.unsubscribe()
        return found

    def _open(self) -> None:
        connection, client_id = self._config.connection, self._config.client_id
        if self._consumer is None:
            self._consumer = make_consumer(connection, group_id=None, client_id=client_id)
            unpack_fast(self._consumer)
        if self._admin is None:
            self._admin = make_admin(connection)

    def close(self) -> None:
        """Close what was opened."""
        if self._consumer is not None:
            self._consumer.close(timeout_ms=_CLOSE_TIMEOUT_MS)
        if self._admin is not None:
            self._admin.close()
