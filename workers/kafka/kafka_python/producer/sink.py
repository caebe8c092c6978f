"""The at-least-once `Sink` on kafka-python.

Outputs are visible before their offsets are committed: a crash in between repeats them, with the
same ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer

from workers.kafka.client import CommittedOffset, Generation, ShouldStop, Sink, Source, never
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.admin.waiting import wait_for_broker
from workers.kafka.kafka_python.errors import asking
from workers.kafka.kafka_python.option_checks import building
from workers.kafka.kafka_python.options import Connection
from workers.kafka.kafka_python.producer.base import CLOSE_TIMEOUT_S, ProducingSink

__all__ = ["SinkConfig"]


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
        sink = _Sink(self, source)
        sink.begin()
        try:
            yield sink
        finally:
            sink.close()

    def producer(self) -> Any:
        """Make the client."""
        options = self.connection.producer_options(client_id=self.client_id)
        with asking("opening a producer"), building(self.connection.options):
            return KafkaProducer(**options)


class _Sink(ProducingSink):
    """See `workers.kafka.client.Sink`."""

    def __init__(self, config: SinkConfig, source: Source) -> None:
        super().__init__(config.producer, config)
        self._source = source

    def begin(self) -> None:
        self._renew()

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        """Flush, check every future, commit the offsets; in that order and no other."""
        self._settle(deadline)
        self._source.commit(offsets, generation, deadline=deadline)

    def abort(self) -> None:
        # Outputs that are still under way would pile up behind an absent broker, unit after unit,
        # in a producer that bounds nothing; and one that failed may have left the producer in a
        # state that fails everything after it. Throw it away with them; `begin` makes another.
        if not all(future.succeeded() for future in self._futures):
            self._discard()
        self._forget()

    def close(self) -> None:
        """Close the producer; what is not committed is dropped."""
        self._discard(timeout_s=CLOSE_TIMEOUT_S)
