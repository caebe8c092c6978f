"""What every sender is made of: a producer, the outputs of one unit, and their futures.

kafka-python's producer has no memory bound and can drop records in silence (a batch that expires,
or runs out of retries), so what is unacknowledged is bounded, every future is kept, and every one
is looked at.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)

from workers.errors import PoisonRecordError, SettingsError, TopicError, VigieError
from workers.kafka.client import (
    LARGEST_OUTPUT_BYTES,
    Connection,
    OffsetCommitter,
    ShouldStop,
    Sink,
    never,
)
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.access import Access
from workers.kafka.kafka_python.admin.probe import wait_for_broker
from workers.kafka.kafka_python.clients import make_producer
from workers.kafka.kafka_python.errors import delivery_error
from workers.kafka.kafka_python.producer.fast_append import Appender

CLOSE_TIMEOUT_S: Final = 5.0
_JOIN_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class ProducerConfig(ABC):
    """How to publish; picklable, opens nothing.

    Attributes:
        connection: the broker and the options of the client.
        client_id: shown in the broker's logs and tools.
        max_outputs: outputs that may be unacknowledged; at the limit `Sink.send` waits for all.
        max_bytes: the same for the bytes of keys and values.
        flush_timeout_s: how long that wait may take.
    """

    connection: Connection
    client_id: str = "vigie-sink"
    max_outputs: int = 20_000
    max_bytes: int = 64 * 2**20
    flush_timeout_s: float = 10.0

    @contextmanager
    def open(self, offsets: OffsetCommitter, *, should_stop: ShouldStop = never) -> Iterator[Sink]:
        """Wait for the broker and make the producer; close it at the end.

        Raises:
            BrokerUnavailableError, StoppedError, SettingsError: see `OpensSink`.
        """
        wait_for_broker(self.connection, should_stop=should_stop)
        sink = self.sink(offsets)
        try:
            sink.begin()
            yield sink
        finally:
            sink.close()

    def producer(self) -> Any:
        """Make the client; raises as `open`."""
        return make_producer(self.connection, client_id=self.client_id)

    @property
    def access(self) -> Access:
        """Who publishes, for errors."""
        return Access.writing(self.connection)

    @abstractmethod
    def sink(self, offsets: OffsetCommitter) -> ProducingSink:
        """Make the sink; it has no producer before `Sink.begin`."""


class ProducingSink(Sink):
    """The half of a `Sink` that does not depend on the guarantee."""

    def __init__(self, config: ProducerConfig, offsets: OffsetCommitter) -> None:
        self._config, self._offsets, self._access = config, offsets, config.access
        self._producer: Any = None
        self._appender: Any = None
        self._futures: list[Any] = []
        self._bytes = 0

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """See `Sink.send`."""
        if len(self._futures) >= self._config.max_outputs or self._bytes >= self._config.max_bytes:
            self._settle(Deadline.after(self._config.flush_timeout_s))
        try:
            future = self._appender.append(topic, key, value, headers, partition, timestamp_ms)
        except MessageSizeTooLargeError as error:
            raise PoisonRecordError(
                f"An output for {topic} of {len(value or b'')} bytes is larger than kafka.client."
                f"max_request_size ({self._appender.max_bytes} with headers) allows."
            ) from error
        except UnknownTopicOrPartitionError as error:
            raise TopicError(
                f"The topic {topic} does not exist: create it with vigie topics create, or "
                "correct its name."
            ) from error
        except KafkaError as error:
            sent = len(self._futures) + 1
            raise delivery_error(error, self._access, failed=1, sent=sent) from error
        self._futures.append(future)
        self._bytes += len(value or b"") + len(key or b"")

    def room(self, *, key: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> int:
        """See `Sink.room`."""
        return int(self._appender.room(key, headers))

    def close(self) -> None:
        """Close the producer; what is not committed is dropped."""
        self._discard(timeout_s=CLOSE_TIMEOUT_S)

    def _renew(self) -> None:
        """Have a producer, and nothing sent with it yet."""
        if self._producer is None:
            self._producer = self._config.producer()
            self._appender = Appender(self._producer)
        self._appender.refresh()
        self._forget()

    def _settle(self, deadline: Deadline) -> None:
        """Wait for every output so far, and look at each one; raises as `Sink.commit`."""
        with flushing(self._producer):
            # Ends at the first that is lost: the unit is, and the rest can tell nothing new.
            if all(is_there(future, deadline) for future in self._futures):
                self._forget()
                return
        lost = [future for future in self._futures if not future.succeeded()]
        if lost:
            _reject_too_large(lost)
            raise loss(lost, self._access, sent=len(self._futures))
        self._forget()  # the last ones came while we looked

    def _forget(self) -> None:
        """Of what was sent."""
        self._futures.clear()
        self._bytes = 0

    def _discard(self, *, timeout_s: float = 0.0) -> None:
        """Close the producer, politely if it can be done in time; never raises."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=timeout_s)
        except KafkaError:
            # `close` flushes first, and what that raises leaves the sender running, with its
            # outputs, and the producer open: close it by force.
            producer._sender.force_close()  # noqa: SLF001
            producer._sender.join(_JOIN_TIMEOUT_S)  # noqa: SLF001
            producer._closed = True  # noqa: SLF001


@contextmanager
def flushing(producer: Any) -> Iterator[None]:
    """Have the producer send what it holds, without its linger, until the block ends.

    As `KafkaProducer.flush`, which gives its whole timeout to each batch in turn, and raises while
    it splits a batch that is too large although all is well.
    """
    accumulator = producer._accumulator  # noqa: SLF001
    accumulator.begin_flush()
    producer._sender.wakeup()  # noqa: SLF001
    try:
        yield
    finally:
        accumulator._flushes_in_progress.decrement()  # noqa: SLF001


def is_there(future: Any, deadline: Deadline) -> bool:
    """Wait for one output; true if it is with the broker."""
    if not future.is_done:
        with contextlib.suppress(KafkaError):
            future.get(timeout=deadline.left_s())
    return bool(future.succeeded())


def loss(lost: Sequence[Any], access: Access, *, sent: int) -> VigieError:
    """What to raise when these futures, at least one, did not succeed."""
    cause = next((future.exception for future in lost if future.exception), None)
    error = delivery_error(
        cause or KafkaTimeoutError("no answer in time"), access, failed=len(lost), sent=sent
    )
    error.__cause__ = cause
    return error


def _reject_too_large(lost: Iterable[Any]) -> None:
    """Name the output that its topic does not take; no repeat can help.

    The client gives the error of a rejected output to those that wait behind it as well. The
    largest one of a topic is rejected if any is; nothing distinguishes topics, so each is named.
    """
    causes: dict[str, tuple[int, BaseException]] = {}  # of the largest output of each topic
    for future in lost:
        if isinstance(future.exception, MessageSizeTooLargeError | RecordListTooLargeError):
            topic = future._produce_future.topic_partition.topic  # noqa: SLF001
            size = sum(max(0, part) for part in future.args[-3:])  # key, value, headers
            if topic not in causes or size > causes[topic][0]:
                causes[topic] = size, future.exception
    if causes:
        largest = sorted(causes.items(), key=lambda one: one[1][0], reverse=True)
        rejected = ", or ".join(
            f"{topic} rejects an output of {size} bytes" for topic, (size, _) in largest
        )
        raise SettingsError(
            f"{rejected} as too large: raise its max.message.bytes to at least "
            f"{LARGEST_OUTPUT_BYTES} (kafka-configs --alter), or lower "
            "kafka.client.max_request_size to what it takes."
        ) from largest[0][1][1]
