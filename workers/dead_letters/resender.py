"""Sending records back to the partitions that they came from.

A `Publisher` lets the key choose the partition, as Kafka's default does. A record that goes back
must not: whoever sent it first may choose otherwise, and the readings of a sensor belong in one
partition.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Sequence
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
from workers.kafka.kafka_python.errors import asking, delivery_error
from workers.kafka.kafka_python.option_checks import building

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
        resender: Resender[Any] = Resender(self._producer, flush_timeout_s=self.flush_timeout_s)
        try:
            yield resender
        finally:
            resender.close()

    def _producer(self) -> Any:
        options = self.connection.producer_options(client_id=self.client_id)
        with asking("opening a producer"), building(self.connection.options):
            return KafkaProducer(**options)


@dataclass(frozen=True, kw_only=True)
class Settled(Generic[Tag]):
    """What became of the records sent since the last time.

    Attributes:
        arrived: tags of those that are with the broker.
        too_large: tags of those that the topic, or the client, does not take for their size.
    """

    arrived: Sequence[Tag]
    too_large: Sequence[Tag]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outgoing(Generic[Tag]):
    """A record, as `Resender.send` was given it."""

    tag: Tag
    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class Resender(Generic[Tag]):
    """Sends records to partitions by number; made by `ResenderConfig.open`."""

    def __init__(self, make_producer: Callable[[], Any], *, flush_timeout_s: float) -> None:
        self._make_producer, self._flush_timeout_s = make_producer, flush_timeout_s
        self._producer = make_producer()
        self._under_way: list[tuple[_Outgoing[Tag], Any]] = []
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
        self._send(
            _Outgoing(
                tag=tag,
                topic=topic,
                partition=partition,
                key=key,
                value=value,
                headers=list(headers),
            )
        )

    def settle(self) -> Settled[Tag]:
        """Wait until every record sent so far is with the broker, and look at each one.

        A record that the broker refuses as too large puts kafka-python's producer in a state in
        which it fails everything else with the same words. So with a new producer each of them is
        sent again, alone.

        Raises:
            OutputsLostError: at least one is not, or nobody knows.
            SettingsError: the broker refuses us for good.
        """
        arrived, suspects = self._look()
        for outgoing in suspects:
            if len(suspects) > 1:
                self._send(outgoing)
                came, refused = self._look()
            else:
                came, refused = [], [outgoing]
            arrived += came
            self._too_large += [each.tag for each in refused]
        settled = Settled(arrived=arrived, too_large=self._too_large)
        self._too_large = []
        return settled

    def close(self) -> None:
        """Close the producer; what is not settled is in doubt."""
        # Nothing is lost in silence: only `settle` tells that a record arrived.
        with contextlib.suppress(KafkaError):
            self._producer.close(timeout=_CLOSE_TIMEOUT_S)

    def _send(self, out: _Outgoing[Tag]) -> None:
        try:
            future = self._producer.send(out.topic, out.value, out.key, out.headers, out.partition)
        except _TOO_LARGE:
            self._too_large.append(out.tag)
        except KafkaError as error:
            raise delivery_error(error, failed=1, sent=len(self._under_way) + 1) from error
        else:
            self._under_way.append((out, future))

    def _look(self) -> tuple[list[Tag], list[_Outgoing[Tag]]]:
        """Wait for what is under way: what arrived, and what is said to be too large."""
        deadline = Deadline.after(self._flush_timeout_s)
        # While it splits a batch that is too large, `flush` raises although all is well. So what it
        # raises is no answer; the futures are.
        with contextlib.suppress(KafkaError):
            self._producer.flush(timeout=deadline.left_s())
        arrived: list[Tag] = []
        suspects: list[_Outgoing[Tag]] = []
        lost: list[Any] = []
        for out, future in self._under_way:
            if not future.is_done:
                with contextlib.suppress(KafkaError):
                    future.get(timeout=deadline.left_s())
            if future.succeeded():
                arrived.append(out.tag)
            elif isinstance(future.exception, _TOO_LARGE):
                suspects.append(out)
            else:
                lost.append(future)
        if lost:
            cause = next((future.exception for future in lost if future.exception), None)
            reason = cause or KafkaTimeoutError("no answer in time")
            raise delivery_error(reason, failed=len(lost), sent=len(self._under_way)) from cause
        self._under_way = []
        if suspects:
            self.close()
            self._producer = self._make_producer()
        return arrived, suspects
