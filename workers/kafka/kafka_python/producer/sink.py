"""The at-least-once `Sink` on kafka-python.

Outputs are visible before their offsets are committed: a crash in between repeats them, with the
same ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workers.kafka.client import CommittedOffset, Generation, OffsetCommitter
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.producer.base import ProducerConfig, ProducingSink


@dataclass(frozen=True, kw_only=True)
class SinkConfig(ProducerConfig):
    """How to publish, at least once."""

    def sink(self, offsets: OffsetCommitter) -> ProducingSink:
        """Make the sink; it has no producer before `Sink.begin`."""
        return _Sink(self, offsets)


class _Sink(ProducingSink):
    """See `workers.kafka.client.Sink`."""

    def begin(self) -> None:
        self._renew()

    def settle(self, deadline: Deadline) -> None:
        self._settle(deadline)

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        """Flush, check every future, commit the offsets; in that order and no other."""
        self._settle(deadline)
        self._offsets.commit(offsets, generation, deadline=deadline)

    def abort(self) -> None:
        # Outputs that are still under way would pile up behind an absent broker, unit after unit,
        # in a producer that bounds nothing; and one that failed may have left the producer in a
        # state that fails everything after it. Throw it away with them; `begin` makes another.
        if not all(future.succeeded() for future in self._futures):
            self._discard()
        self._forget()
