"""The short way into kafka-python's producer: half the cost of ``KafkaProducer.send``.

``send`` checks types, looks up metadata three times, hashes the key in Python and formats log lines
for no reader, for each record: 49 us of CPU per record of 600 bytes, of which 22 remain when the
record goes straight to the accumulator (batching, futures, retries and order are all behind that).
What ``send`` would check, the sink knows: it makes bytes, the topic exists, the size is in bounds.
What ``send`` does for a transaction is done here too: a partition is added to it before its first
record, and nothing is taken in a state in which the transaction cannot be committed any more.

The accumulator is private, so an unknown shape of it means the long way, never an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final

from kafka import KafkaProducer, TopicPartition
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)
from kafka.partitioner.default import murmur2
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.producer.transaction_manager import TransactionState

_KNOWN_SHAPE: Final = ["self", "tp", "timestamp_ms", "key", "value", "headers"]
_KEYS_REMEMBERED: Final = 100_000
_RECORD_OVERHEAD: Final = 128  # of a batch of one record, generously
_HEADER_OVERHEAD: Final = 16
_BYTES_A_CHARACTER: Final = 4  # of UTF-8, at most


class Appender:
    """Gives records to a producer: to a partition, or to the one that Kafka's default chooses."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self.max_bytes = int(producer.config["max_request_size"])
        self._targets: dict[str, list[Any]] = {}  # topic -> its partitions, in order
        self._hashes: dict[bytes, int] = {}
        manager = producer._transaction_manager  # noqa: SLF001
        self._manager = manager if manager is not None and manager.is_transactional() else None
        self._added: set[Any] = set()  # partitions of the transaction
        self._send: Callable[..., Any] = self._long
        if _is_short_way_known():
            self._send = self._short if self._manager is None else self._short_in_transaction

    def refresh(self) -> None:
        """Begin a unit: forget the last one's partitions, and how many the topics have."""
        self._targets.clear()
        self._added.clear()

    def append(  # noqa: PLR0917 - a record's parts, in the client's order
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Any:
        """Add a record and return its future; a header without a value gets an empty one.

        Raises:
            MessageSizeTooLargeError: larger than ``max_request_size``.
            UnknownTopicOrPartitionError: the broker does not know the topic.
            KafkaTimeoutError: the client does not know the topic and gets no answer.
        """
        listed = [(name, content or b"") for name, content in headers]
        room = self.room(key, listed)
        size = len(value or b"")
        if size > room:
            raise MessageSizeTooLargeError(f"a value of {size} bytes, {room} may be sent")
        targets = self._targets.get(topic) or self._look_up(topic)
        if partition is not None:
            # One that the client has not heard of yet is looked for when it is sent.
            target = TopicPartition(topic, partition)
            return self._send(target, key, value, listed, timestamp_ms)
        if key is None:
            return self._producer.send(topic, value, headers=listed, timestamp_ms=timestamp_ms)
        hashed = self._hashes.get(key)
        if hashed is None:
            hashed = self._hash(key)
        return self._send(targets[hashed % len(targets)], key, value, listed, timestamp_ms)

    def room(self, key: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> int:
        """How long a value may be with this key and these headers."""
        room = self.max_bytes - _RECORD_OVERHEAD - len(key or b"")
        for name, content in headers:
            room -= _BYTES_A_CHARACTER * len(name) + len(content or b"") + _HEADER_OVERHEAD
        return room

    def _short(
        self,
        target: Any,
        key: bytes | None,
        value: bytes | None,
        headers: list[Any],
        timestamp_ms: int | None,
    ) -> Any:
        future, is_full, is_new, _ = self._producer._accumulator.append(  # noqa: SLF001
            target, timestamp_ms, key, value, headers
        )
        if is_full or is_new:
            self._producer._sender.wakeup()  # noqa: SLF001
        return future

    def _short_in_transaction(
        self,
        target: Any,
        key: bytes | None,
        value: bytes | None,
        headers: list[Any],
        timestamp_ms: int | None,
    ) -> Any:
        manager: Any = self._manager
        if target not in self._added:
            manager.maybe_add_partition_to_transaction(target)
            self._added.add(target)
        elif manager._current_state is not TransactionState.IN_TRANSACTION:  # noqa: SLF001
            raise manager.last_error or KafkaError("the transaction has failed")
        return self._short(target, key, value, headers, timestamp_ms)

    def _long(
        self,
        target: Any,
        key: bytes | None,
        value: bytes | None,
        headers: list[Any],
        timestamp_ms: int | None,
    ) -> Any:
        place = target.topic, value, key, headers, target.partition
        return self._producer.send(*place, timestamp_ms)

    def _look_up(self, topic: str) -> list[Any]:
        cluster = self._producer._metadata  # noqa: SLF001
        before = cluster._last_successful_refresh_ms  # noqa: SLF001
        try:
            partitions = sorted(self._producer.partitions_for(topic))
        except KafkaTimeoutError:
            if cluster._last_successful_refresh_ms > before:  # noqa: SLF001
                raise UnknownTopicOrPartitionError(topic) from None  # asked, and it was not there
            raise
        targets = [TopicPartition(topic, partition) for partition in partitions]
        self._targets[topic] = targets
        return targets

    def _hash(self, key: bytes) -> int:
        """Murmur2 as the Java client has it; remembered, because in Python it costs 10 us."""
        if len(self._hashes) >= _KEYS_REMEMBERED:
            self._hashes.clear()
        hashed = int(murmur2(key)) & 0x7FFFFFFF
        self._hashes[key] = hashed
        return hashed


def _is_short_way_known() -> bool:
    shape = list(inspect.signature(RecordAccumulator.append).parameters)
    return shape[: len(_KNOWN_SHAPE)] == _KNOWN_SHAPE
