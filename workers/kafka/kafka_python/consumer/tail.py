"""The `TableTail` on kafka-python: a whole topic from its beginning, and on as it grows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka import TopicPartition

from workers.kafka.admin import TopicSpec, require_topics
from workers.kafka.client import Connection, ShouldStop, TableTail, never
from workers.kafka.kafka_python.access import Access
from workers.kafka.kafka_python.admin.admin import KafkaPythonAdmin
from workers.kafka.kafka_python.admin.probe import wait_for_broker
from workers.kafka.kafka_python.clients import make_consumer
from workers.kafka.kafka_python.consumer.record_batch import unpack_fast
from workers.kafka.kafka_python.errors import asking

__all__ = ["TailConfig"]

_POLL_RECORDS: Final = 5000
_POSITION_MS: Final = 100
_CLOSE_TIMEOUT_MS: Final = 5000


@dataclass(frozen=True, kw_only=True)
class TailConfig:
    """How to read a compacted topic on and on. Picklable; opens nothing.

    Attributes:
        connection: the broker and the options of the client.
        topic: its name; all of its partitions are read.
        client_id: shown in the broker's logs and tools.
    """

    connection: Connection
    topic: str
    client_id: str = "vigie-tail"

    @contextmanager
    def open(self, *, should_stop: ShouldStop = never) -> Iterator[TableTail]:
        """See `OpensTail`."""
        wait_for_broker(self.connection, should_stop=should_stop)
        admin = KafkaPythonAdmin(self.connection)
        (found,) = require_topics(admin, [TopicSpec(name=self.topic)])
        bounds = admin.topic_bounds({self.topic: found.partitions})
        consumer = make_consumer(self.connection, group_id=None, client_id=self.client_id)
        try:
            unpack_fast(consumer)
            yield _Tail(consumer, bounds, Access.reading(self.connection))
        finally:
            consumer.close(timeout_ms=_CLOSE_TIMEOUT_MS)


class _Tail:
    """See `workers.kafka.client.TableTail`."""

    def __init__(
        self,
        consumer: Any,
        bounds: Mapping[tuple[str, int], tuple[int, int]],
        access: Access,
    ) -> None:
        """Begin at the first offset of each partition; `bounds` end at the high watermarks.

        As in `Table`: what ends at the first open transaction tells nothing of what comes.
        """
        self._consumer, self._access = consumer, access
        self._ends = {TopicPartition(*at): end for at, (_, end) in bounds.items()}
        consumer.assign(list(self._ends))
        for at, (first, _) in bounds.items():
            consumer.seek(TopicPartition(*at), first)

    @property
    def caught_up(self) -> bool:
        with asking("looking up the position", self._access):
            for tp in list(self._ends):
                position = self._consumer.position(tp, timeout_ms=_POSITION_MS)
                if position is not None and position >= self._ends[tp]:
                    del self._ends[tp]
        return not self._ends

    def poll(self, *, timeout_s: float = 0.0) -> Sequence[tuple[bytes | None, bytes | None]]:
        with asking("reading", self._access):
            polled = self._consumer.poll(
                timeout_ms=int(timeout_s * 1000), max_records=_POLL_RECORDS
            )
        return [(record.key, record.value) for records in polled.values() for record in records]
