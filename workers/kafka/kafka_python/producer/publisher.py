"""Publishing without reading: for commands that fill a topic.

A `Publisher` is a `Sink` whose units of work commit no offsets. It keeps the sink's promise: what
`settle` has returned for is with the broker, and a lost record is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from workers.kafka.client import CommittedOffset, Generation, ShouldStop, Sink, Source, never
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python import Connection, SinkConfig

__all__ = ["Publisher", "PublisherConfig"]


@dataclass(frozen=True, kw_only=True)
class PublisherConfig:
    """How to publish; picklable, opens nothing.

    Attributes:
        connection: the broker and the options of the client.
        client_id: shown in the broker's logs and tools.
        flush_timeout_s: how long the broker may take for what is under way.
    """

    connection: Connection
    client_id: str = "vigie-publisher"
    flush_timeout_s: float = 30.0

    @contextmanager
    def open(self, *, should_stop: ShouldStop = never) -> Iterator[Publisher]:
        """Wait for the broker and make the producer; close it at the end.

        What was sent since the last `Publisher.settle` is dropped if the block raises, and settled
        if it does not.

        Raises:
            BrokerUnavailableError, StoppedError, SettingsError: see `OpensSink`.
            OutputsLostError: see `Publisher.settle`.
        """
        config = SinkConfig(
            connection=self.connection,
            client_id=self.client_id,
            flush_timeout_s=self.flush_timeout_s,
        )
        # A sink asks its source for nothing but the commit of offsets, and here are none.
        source = cast("Source", _NoOffsets())
        with config.open(source, should_stop=should_stop) as sink:
            publisher = Publisher(sink, flush_timeout_s=self.flush_timeout_s)
            yield publisher
            publisher.settle()


class Publisher:
    """Sends records; made by `PublisherConfig.open`."""

    def __init__(self, sink: Sink, *, flush_timeout_s: float) -> None:
        self._sink, self._flush_timeout_s = sink, flush_timeout_s

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> None:
        """Add one record; raises as `Sink.send`."""
        self._sink.send(topic, key=key, value=value, headers=headers)

    def settle(self) -> None:
        """Return when every record sent so far is with the broker.

        Raises:
            OutputsLostError: at least one is not.
        """
        nobody = Generation(token=None, epochs={})
        self._sink.commit({}, nobody, deadline=Deadline.after(self._flush_timeout_s))
        self._sink.begin()


class _NoOffsets:
    """The part of a source that a sink uses, for a sink that commits nothing."""

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        """Commit nothing."""
