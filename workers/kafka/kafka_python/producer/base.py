"""What both sinks are made of: a producer, the outputs of one unit, and their futures.

kafka-python's producer has no memory bound and can drop records in silence (a batch that expires,
or runs out of retries), so what is unacknowledged is bounded, every future is kept, and every one
is looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)

from workers.errors import PoisonRecordError, SettingsError, TopicError
from workers.kafka.client import LARGEST_OUTPUT_BYTES
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.errors import delivery_error
from workers.kafka.kafka_python.producer.fast_append import Appender

__all__ = ["Limits", "ProducingSink"]

CLOSE_TIMEOUT_S: Final = 5.0
_JOIN_TIMEOUT_S: Final = 2.0


class Limits(Protocol):
    """The part of a sink's configuration that bounds a unit."""

    @property
    def max_outputs(self) -> int:
        """Outputs that may be unacknowledged; at the limit `Sink.send` waits for all."""

    @property
    def max_bytes(self) -> int:
        """The same for the bytes of keys and values."""

    @property
    def flush_timeout_s(self) -> float:
        """How long that wait may take."""


class ProducingSink:
    """The half of a `Sink` that does not depend on the guarantee."""

    def __init__(self, make_producer: Callable[[], Any], limits: Limits) -> None:
        self._make_producer = make_producer
        self._limits = limits
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
    ) -> None:
        """See `Sink.send`."""
        if len(self._futures) >= self._limits.max_outputs or self._bytes >= self._limits.max_bytes:
            self._settle(Deadline.after(self._limits.flush_timeout_s))
        try:
            future = self._appender.append(topic, key, value, headers, partition)
        except MessageSizeTooLargeError as error:
            raise PoisonRecordError(
                f"An output for {topic} of {len(value or b'')} bytes is larger than kafka.client."
                f"max_request_size ({self.max_bytes} with headers) allows."
            ) from error
        except UnknownTopicOrPartitionError as error:
            raise TopicError(
                f"The topic {topic} does not exist: create it with vigie topics create, or "
                "correct its name."
            ) from error
        except KafkaError as error:
            raise delivery_error(error, failed=1, sent=len(self._futures) + 1) from error
        self._futures.append(future)
        self._bytes += len(value or b"") + len(key or b"")

    @property
    def max_bytes(self) -> int:
        """See `Sink.max_bytes`."""
        return int(self._appender.max_bytes)

    def room(self, *, key: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> int:
        """See `Sink.room`."""
        return int(self._appender.room(key, headers))

    def fits(
        self,
        *,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> bool:
        """See `Sink.fits`."""
        return len(value) <= self.room(key=key, headers=headers)

    def outstanding(self) -> int:
        """See `Sink.outstanding`."""
        return len(self._futures)

    def _renew(self) -> None:
        """Have a producer, and nothing sent with it yet."""
        if self._producer is None:
            self._producer = self._make_producer()
            self._appender = Appender(self._producer)
        self._appender.refresh()
        self._forget()

    def _settle(self, deadline: Deadline) -> None:
        """Wait for every output so far, and look at each one.

        Raises:
            OutputsLostError, SettingsError: at least one is not with the broker.
        """
        futures = self._futures
        # As `KafkaProducer.flush`, which gives its whole timeout to each batch in turn, and raises
        # while it splits a batch that is too large although all is well.
        accumulator = self._producer._accumulator  # noqa: SLF001
        accumulator.begin_flush()
        self._producer._sender.wakeup()  # noqa: SLF001
        try:
            for future in futures:
                if not future.is_done:
                    with contextlib.suppress(KafkaError):
                        future.get(timeout=deadline.left_s())
                if not future.succeeded():
                    break  # the unit is lost: the rest can tell nothing new
            else:
                self._forget()
                return
        finally:
            accumulator._flushes_in_progress.decrement()  # noqa: SLF001
        lost = [future for future in futures if not future.succeeded()]
        if lost:
            _refuse_too_large(lost)
            cause = next((future.exception for future in lost if future.exception), None)
            reason = cause or KafkaTimeoutError("no answer in time")
            raise delivery_error(reason, failed=len(lost), sent=len(futures)) from cause
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


def _refuse_too_large(lost: Iterable[Any]) -> None:
    """Name the output that its topic does not take; no repeat can help.

    The client gives the error of a refused output to those that wait behind it as well. The largest
    one of a topic is refused if any is; between topics nothing tells, so each of them is named.

    Raises:
        SettingsError: there is one among these futures.
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
        refused = ", or ".join(
            f"{topic} refuses an output of {size} bytes" for topic, (size, _) in largest
        )
        raise SettingsError(
            f"{refused} as too large: raise its max.message.bytes to at least "
            f"{LARGEST_OUTPUT_BYTES} (kafka-configs --alter), or lower "
            "kafka.client.max_request_size to what it takes."
        ) from largest[0][1][1]
