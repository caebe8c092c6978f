"""Publishing without reading: for commands that fill a topic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from workers.kafka.client import CommittedOffset, Generation, OpensSink, ShouldStop, Sink, never
from workers.kafka.deadline import Deadline


class Publisher:
    """A `Sink` whose units of work commit no offsets.

    It keeps the sink's promise: what `settle` has returned for is with the broker, and a lost
    record is an error. `send` is the sink's.
    """

    def __init__(self, sink: Sink, *, flush_timeout_s: float) -> None:
        self._sink, self._flush_timeout_s = sink, flush_timeout_s
        self.send = sink.send

    @classmethod
    @contextmanager
    def open(
        cls, opens: OpensSink, *, flush_timeout_s: float, should_stop: ShouldStop = never
    ) -> Iterator[Publisher]:
        """Make the sink; close it at the end.

        What was sent since the last `settle` is dropped if the block raises, and settled if it
        does not.

        Raises:
            BrokerUnavailableError, StoppedError, SettingsError: see `OpensSink`.
            OutputsLostError: see `settle`.
        """
        with opens.open(_NoOffsets(), should_stop=should_stop) as sink:
            publisher = cls(sink, flush_timeout_s=flush_timeout_s)
            yield publisher
            publisher.settle()

    def settle(self) -> None:
        """Return when every record sent so far is with the broker.

        Raises:
            OutputsLostError: at least one is not.
        """
        outside_any_group = Generation(token=None, epochs={})
        deadline = Deadline.after(self._flush_timeout_s)
        self._sink.commit({}, outside_any_group, deadline=deadline)
        self._sink.begin()


class _NoOffsets:
    """An `OffsetCommitter` for what was read from nowhere."""

    topic = ""

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        """Commit nothing."""

    def check_held(self, offsets: Iterable[int], generation: Generation) -> None:
        """Hold nothing, and miss nothing."""
