"""Delivery to partitions by number on kafka-python."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from workers.kafka.client import Connection
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.access import Access
from workers.kafka.kafka_python.clients import make_producer
from workers.kafka.kafka_python.errors import delivery_error
from workers.kafka.kafka_python.producer.base import CLOSE_TIMEOUT_S, flushing, is_there, loss
from workers.kafka.partition_producer import Deliver, PartitionRecord

_FLUSH_TIMEOUT_S: Final = 30.0
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)


@contextmanager
def open_partition_producer(connection: Connection, *, client_id: str) -> Iterator[Deliver]:
    """Make an idempotent producer that waits for all replicas; close it at the end.

    Raises:
        BrokerUnavailableError: no broker answers.
        SettingsError: an option that the client cannot use.
    """
    producer = _PartitionProducer(
        lambda: make_producer(connection, client_id=client_id), Access.writing(connection)
    )
    try:
        yield producer.deliver
    finally:
        producer.close()


class _PartitionProducer:
    def __init__(self, make_client: Callable[[], Any], access: Access) -> None:
        self._make_client, self._access = make_client, access
        self._client = make_client()

    def deliver(self, records: Sequence[PartitionRecord]) -> list[int]:
        # A record that the broker rejects as too large puts kafka-python's producer in a state in
        # which it fails everything else with the same words. So what is said to be too large is
        # sent again, each record alone and by a new producer.
        suspects = self._send(records)
        return [index for index in suspects if self._send([records[index]])]

    def close(self) -> None:
        with contextlib.suppress(KafkaError):  # `deliver` alone says what has arrived
            self._client.close(timeout=CLOSE_TIMEOUT_S)

    def _send(self, records: Sequence[PartitionRecord]) -> list[int]:
        """Indices of those that are said to be too large."""
        deadline = Deadline.after(_FLUSH_TIMEOUT_S)
        futures: dict[int, Any] = {}
        too_large: list[int] = []
        for index, (topic, partition, key, value, headers) in enumerate(records):
            try:
                futures[index] = self._client.send(topic, value, key, list(headers), partition)
            except _TOO_LARGE:
                too_large.append(index)
            except KafkaError as error:
                raise delivery_error(error, self._access, failed=1, sent=index + 1) from error
        with flushing(self._client):
            missing = {i: one for i, one in futures.items() if not is_there(one, deadline)}
        rejected = [i for i, one in missing.items() if isinstance(one.exception, _TOO_LARGE)]
        if lost := [one for i, one in missing.items() if i not in rejected]:
            raise loss(lost, self._access, sent=len(futures))
        if rejected:
            self.close()
            self._client = self._make_client()
        return sorted(too_large + rejected)
