"""Sending records to partitions by number, for what goes back to where it came from.

A `Publisher` lets the key choose the partition, as Kafka's default does. A record that goes back
must not: its first sender may choose otherwise, and the readings of a sensor belong in one
partition.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.errors import asking, delivery_error
from workers.kafka.kafka_python.option_checks import building
from workers.kafka.kafka_python.options import Connection

__all__ = ["PartitionProducer", "PartitionRecord", "open_partition_producer"]

_CLOSE_TIMEOUT_S: Final = 5.0
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionRecord:
    """A record and the partition that it goes to."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]


@contextmanager
def open_partition_producer(
    connection: Connection, *, client_id: str, flush_timeout_s: float = 30.0
) -> Iterator[PartitionProducer]:
    """Make an idempotent producer that waits for all replicas; close it at the end.

    Args:
        connection: the broker and the options of the client.
        client_id: shown in the broker's logs and tools.
        flush_timeout_s: how long the broker may take for the records of one call.

    Raises:
        BrokerUnavailableError: no broker answers.
        SettingsError: an option that the client cannot use.
    """

    def make() -> Any:
        with asking("opening a producer"), building(connection.options):
            return KafkaProducer(**connection.producer_options(client_id=client_id))

    producer = PartitionProducer(make, flush_timeout_s=flush_timeout_s)
    try:
        yield producer
    finally:
        producer.close()


class PartitionProducer:
    """Made by `open_partition_producer`."""

    def __init__(self, make_client: Callable[[], Any], *, flush_timeout_s: float) -> None:
        self._make_client, self._flush_timeout_s = make_client, flush_timeout_s
        self._client = make_client()

    def deliver(self, records: Sequence[PartitionRecord]) -> list[int]:
        """Send records and wait until each is with the broker.

        A record that the broker rejects as too large puts kafka-python's producer in a state in
        which it fails everything else with the same words. So what is said to be too large is sent
        again, each record alone and by a new producer.

        Returns:
            Indices of those that the topic, or the client, does not take for their size.

        Raises:
            OutputsLostError: at least one did not arrive, or may have.
            SettingsError: the broker rejects us for good.
        """
        suspects = self._send(records)
        return [index for index in suspects if self._send([records[index]])]

    def close(self) -> None:
        """Close the producer; `deliver` alone says what has arrived."""
        with contextlib.suppress(KafkaError):
            self._client.close(timeout=_CLOSE_TIMEOUT_S)

    def _send(self, records: Sequence[PartitionRecord]) -> list[int]:
        deadline = Deadline.after(self._flush_timeout_s)
        futures: list[tuple[int, Any]] = []
        too_large: list[int] = []
        for index, record in enumerate(records):
            try:
                future = self._client.send(
                    record.topic, record.value, record.key, list(record.headers), record.partition
                )
                futures.append((index, future))
            except _TOO_LARGE:
                too_large.append(index)
            except KafkaError as error:
                raise delivery_error(error, failed=1, sent=index + 1) from error
        # While it splits a batch that is too large, `flush` raises although all is well. So what it
        # raises is no answer; the futures are.
        with contextlib.suppress(KafkaError):
            self._client.flush(timeout=deadline.left_s())
        lost: list[Any] = []
        for index, future in futures:
            if not future.is_done:
                with contextlib.suppress(KafkaError):
                    future.get(timeout=deadline.left_s())
            if isinstance(future.exception, _TOO_LARGE):
                too_large.append(index)
            elif not future.succeeded():
                lost.append(future)
        if lost:
            cause = next((future.exception for future in lost if future.exception), None)
            reason = cause or KafkaTimeoutError("no answer in time")
            raise delivery_error(reason, failed=len(lost), sent=len(futures)) from cause
        if too_large:
            self.close()
            self._client = self._make_client()
        return sorted(too_large)
