"""Sending records back to the partitions that they came from.

A `Publisher` lets the key choose the partition, as Kafka's default does. A record that goes back
must not: whoever sent it first may choose otherwise, and the readings of a sensor belong in one
partition.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from kafka import KafkaProducer
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python import Connection
from workers.kafka.kafka_python.border import asking, delivery_error
from workers.kafka.kafka_python.checks import building

__all__ = ["Resender", "ResenderConfig", "Settled"]

Tag = TypeVar("Tag", bound=Hashable)

_CLOSE_TIMEOUT_S: Final = 5.0
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(frozen=True, kw_only=True)
class ResenderConfig:
    """How to send back; picklable, opens nothing.

    Attributes:
        connection: the broker and the options of the client.
        client_id: shown in the broker's logs and tools.
        flush_timeout_s: how long the broker may take for what is under way.
    """

    connection: Connection
    client_id: str = "vigie-resender"
    flush_timeout_s: float = 30.0

    @contextmanager
    def open(self) -> Iterator[Resender[Any]]:
        """Make an idempotent producer that waits for all replicas; close it at the end.

        What was sent since the last `Resender.settle` is in doubt.

        Raises:
            BrokerUnavailableError: no broker answers.
            SettingsError: an option that the client cannot use.
        """
        options = self.connection.producer_options(client_id=self.client_id)
        with asking("opening a producer"), building(self.connection.options):
            producer = KafkaProducer(**options)
        try:
            yield Resender(producer, flush_timeout_s=self.flush_timeout_s)
        finally:
            # Nothing is lost in silence: only `settle` tells that a record arrived.
            with contextlib.suppress(KafkaError):
                producer.close(timeout=_CLOSE_TIMEOUT_S)


@dataclass(frozen=True, kw_only=True)
class Settled(Generic[Tag]):
    """What became of the records sent since the last time.

    Attributes:
        arrived: tags of those that are with the broker, in the order in which they were sent.
        too_large: tags of those that the topic, or the client, does not take for their size.
    """

    arrived: Sequence[Tag]
    too_large: Sequence[Tag]


class Resender(Generic[Tag]):
    """Sends records to partitions by number; made by `ResenderConfig.open`."""

    def __init__(self, producer: Any, *, flush_timeout_s: float) -> None:
        self._producer, self._flush_timeout_s = producer, flush_timeout_s
        self._futures: list[tuple[Tag, Any]] = []
        self._too_large: list[Tag] = []

    def send(
        self,
        tag: Tag,
        *,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
    ) -> None:
        """Add one record; the caller settles often enough for memory.

        Raises:
            OutputsLostError, SettingsError: see `settle`.
        """
        try:
            future = self._producer.send(topic, value, key, list(headers), partition)
        except _TOO_LARGE:
            self._too_large.append(tag)
        except KafkaError as error:
            raise delivery_error(error, failed=1, sent=len(self._futures) + 1) from error
        else:
            self._futures.append((tag, future))

    def settle(self) -> Settled[Tag]:
        """Wait until every record sent so far is with the broker, and look at each one.

        Raises:
            OutputsLostError: at least one is not, or nobody knows.
            SettingsError: the broker refuses us for good.
        """
        deadline = Deadline.after(self._flush_timeout_s)
        # While it splits a batch that is too large, `flush` raises although all is well. So what it
        # raises is no answer; the futures are.
        with contextlib.suppress(KafkaError):
            self._producer.flush(timeout=deadline.left_s())
        arrived: list[Tag] = []
        lost: list[Any] = []
        for tag, future in self._futures:
            if not future.is_done:
                with contextlib.suppress(KafkaError):
                    future.get(timeout=deadline.left_s())
            if future.succeeded():
                arrived.append(tag)
            elif isinstance(future.exception, _TOO_LARGE):
                self._too_large.append(tag)
            else:
                lost.append(future)
        if lost:
            cause = next((future.exception for future in lost if future.exception), None)
            reason = cause or KafkaTimeoutError("no answer in time")
            raise delivery_error(reason, failed=len(lost), sent=len(self._futures)) from cause
        settled = Settled(arrived=arrived, too_large=tuple(self._too_large))
        self._futures, self._too_large = [], []
        return settled
