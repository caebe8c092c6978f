"""The at-least-once `Sink` on kafka-python.

kafka-python's producer has no memory bound and can drop records in silence (a batch that expires,
or runs out of retries), so the sink bounds what is unacknowledged, keeps every future, and looks at
every one before the offsets go. Outputs are visible before their offsets are committed: a crash in
between repeats them, with the same ids.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

from workers.errors import PoisonRecordError, SettingsError
from workers.kafka.client import (
    LARGEST_OUTPUT_BYTES,
    Committed,
    Generation,
    ShouldStop,
    Sink,
    Source,
    never,
)
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.appending import Appender
from workers.kafka.kafka_python.border import asking, delivery_error
from workers.kafka.kafka_python.checks import building
from workers.kafka.kafka_python.options import Connection
from workers.kafka.kafka_python.waiting import wait_for_broker

__all__ = ["SinkConfig"]

log = logging.getLogger(__name__)

_CLOSE_TIMEOUT_S: Final = 5.0
_JOIN_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class SinkConfig:
    """How to publish, at least once.

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
    def open(self, source: Source, *, should_stop: ShouldStop = never) -> Iterator[Sink]:
        """Wait for the broker and make the producer; close it at the end.

        Raises:
            BrokerUnavailableError, StoppedError, SettingsError: see `OpensSink`.
        """
        wait_for_broker(self.connection, should_stop=should_stop)
        sink = _Sink(self._producer, source, self)
        sink.begin()
        try:
            yield sink
        finally:
            sink.close()

    def _producer(self) -> Any:
        options = self.connection.producer_options(client_id=self.client_id)
        with asking("opening a producer"), building(self.connection.options):
            return KafkaProducer(**options)


class _Sink:
    """See `workers.kafka.client.Sink`."""

    def __init__(
        self, make_producer: Callable[[], Any], source: Source, config: SinkConfig
    ) -> None:
        self._make_producer = make_producer
        self._source = source
        self._config = config
        self._producer: Any = None
        self._appender: Any = None
        self._futures: list[Any] = []
        self._bytes = 0

    def begin(self) -> None:
        if self._producer is None:
            self._producer = self._make_producer()
            self._appender = Appender(self._producer)
        self._appender.refresh()
        self._futures.clear()
        self._bytes = 0

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> None:
        if len(self._futures) >= self._config.max_outputs or self._bytes >= self._config.max_bytes:
            self._settle(Deadline.after(self._config.flush_timeout_s))
        try:
            future = self._appender.append(topic, key, value, headers)
        except MessageSizeTooLargeError as error:
            raise PoisonRecordError(
                f"An output for {topic} of {len(value)} bytes is larger than kafka.client."
                f"max_request_size ({self.max_bytes} with headers) allows."
            ) from error
        except KafkaError as error:
            raise delivery_error(error, failed=1, sent=len(self._futures) + 1) from error
        self._futures.append(future)
        self._bytes += len(value)

    @property
    def max_bytes(self) -> int:
        return int(self._appender.max_bytes)

    def room(self, *, key: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> int:
        return int(self._appender.room(key, headers))

    def fits(
        self,
        *,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> bool:
        return len(value) <= self.room(key=key, headers=headers)

    def commit(
        self, offsets: Mapping[int, Committed], generation: Generation, *, deadline: Deadline
    ) -> None:
        """Flush, check every future, commit the offsets; in that order and no other."""
        self._settle(deadline)
        self._source.commit(offsets, generation, deadline=deadline)

    def abort(self) -> None:
        # Outputs that are still under way would pile up behind an absent broker, unit after unit,
        # in a producer that bounds nothing: throw it away with them. `begin` makes another.
        if not all(future.is_done for future in self._futures):
            self._discard()
        self._futures.clear()
        self._bytes = 0

    def outstanding(self) -> int:
        return len(self._futures)

    def close(self) -> None:
        """Close the producer; what is not committed is dropped."""
        self._discard(timeout_s=_CLOSE_TIMEOUT_S)

    def _settle(self, deadline: Deadline) -> None:
        """Wait for every output so far, and look at each one.

        Raises:
            OutputsLostError, SettingsError, FencedError: at least one is not with the broker.
        """
        futures = self._futures
        # While it splits a batch that is too large, `flush` raises although all is well. So what it
        # raises is no answer; the futures are.
        with contextlib.suppress(KafkaError):
            self._producer.flush(timeout=deadline.left_s())
        for future in futures:
            if not future.is_done:
                with contextlib.suppress(KafkaError):
                    future.get(timeout=deadline.left_s())
        lost = [future for future in futures if not future.succeeded()]
        if lost:
            _refuse_too_large(lost)
            cause = next((f.exception for f in lost if f.exception), None)
            reason = cause or KafkaTimeoutError("no answer in time")
            raise delivery_error(reason, failed=len(lost), sent=len(futures)) from cause
        futures.clear()
        self._bytes = 0

    def _discard(self, *, timeout_s: float = 0.0) -> None:
        """Close the producer, politely if it can be done in time."""
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

    Raises:
        SettingsError: there is one among these futures.
    """
    for future in lost:
        if isinstance(future.exception, MessageSizeTooLargeError | RecordListTooLargeError):
            topic = future._produce_future.topic_partition.topic  # noqa: SLF001
            size = sum(max(0, part) for part in future.args[-3:])  # key, value, headers
            raise SettingsError(
                f"{topic} refuses an output of {size} bytes as too large: raise max.message.bytes "
                f"of {topic} to at least {LARGEST_OUTPUT_BYTES} (kafka-configs --alter), or lower "
                "kafka.client.max_request_size to what it takes."
            ) from future.exception
