"""Reading topics without a group: for commands that look and commit nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from kafka import TopicPartition

from workers.errors import BrokerUnavailableError, TopicError
from workers.kafka.client import Connection, Record
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.access import Access
from workers.kafka.kafka_python.clients import make_consumer
from workers.kafka.kafka_python.consumer.record_batch import unpack_fast
from workers.kafka.kafka_python.errors import asking

_POLL_S: Final = 0.2
_CLOSE_TIMEOUT_S: Final = 5.0
_STALL_TIMEOUT_S: Final = 30.0


@contextmanager
def open_reader(
    connection: Connection, topics: Sequence[str], *, client_id: str = "vigie-reader"
) -> Iterator[TopicReader]:
    """Make a reader at the beginning of every partition, and close it at the end.

    Raises:
        TopicError: a topic does not exist.
        BrokerUnavailableError: no broker answers.
        SettingsError: an option that the client cannot use.
    """
    consumer = make_consumer(connection, group_id=None, client_id=client_id)
    try:
        unpack_fast(consumer)
        access = Access.reading(connection)
        with asking("looking up the partitions", access):
            partitions: list[TopicPartition] = []
            for topic in topics:
                known = consumer.partitions_for_topic(topic)
                if not known:
                    raise TopicError(
                        f"The topic {topic} does not exist on {connection.bootstrap}: create it "
                        "(vigie topics create), or correct its name."
                    )
                partitions += [TopicPartition(topic, partition) for partition in sorted(known)]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
        yield TopicReader(consumer, partitions, access)
    finally:
        consumer.close(timeout_ms=int(_CLOSE_TIMEOUT_S * 1000))


class TopicReader:
    """Reads every partition of its topics, from the beginning unless it is told where.

    It joins no group, so it disturbs no member of one, and it sees committed records only.
    """

    def __init__(self, consumer: Any, partitions: Sequence[TopicPartition], access: Access) -> None:
        self._consumer, self._partitions, self._access = consumer, list(partitions), access

    def poll(self, *, timeout_s: float = _POLL_S, max_records: int = 5000) -> list[Record]:
        """Return what has come, in offset order within each partition; empty when nothing has.

        Raises:
            CorruptLogError: a partition cannot be read on.
            BrokerUnavailableError, SettingsError: see `Source`.
        """
        with asking("reading", self._access):
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        return [record for records in polled.values() for record in records]

    def ends(self) -> Mapping[tuple[str, int], int]:
        """Return the end offset of each (topic, partition) as it is now. Asks the broker."""
        with asking("looking up the ends", self._access):
            ends = self._consumer.end_offsets(self._partitions)
        return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}

    def beginnings(self) -> Mapping[tuple[str, int], int]:
        """Return the first offset of each (topic, partition) still there. Asks the broker."""
        with asking("looking up the beginnings", self._access):
            starts = self._consumer.beginning_offsets(self._partitions)
        return {(tp.topic, tp.partition): offset for tp, offset in starts.items()}

    def seek(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Go on from these offsets."""
        for (topic, partition), offset in offsets.items():
            self._consumer.seek(TopicPartition(topic, partition), offset)

    def offsets_at(self, time_ms: int) -> Mapping[tuple[str, int], int]:
        """Return the first offset of each partition not before an epoch time, else the end."""
        with asking("looking up a time", self._access):
            found = self._consumer.offsets_for_times(dict.fromkeys(self._partitions, time_ms))
        ends = self.ends()
        return {
            (tp.topic, tp.partition): ends[tp.topic, tp.partition] if at is None else at.offset
            for tp, at in found.items()
        }

    def read_to(self, ends: Mapping[tuple[str, int], int]) -> Iterator[list[Record]]:
        """Yield records below `ends`, batch by batch, until every partition was read so far.

        Raises:
            BrokerUnavailableError: nothing came for a while although there is more.
        """
        deadline = Deadline.after(_STALL_TIMEOUT_S)
        while self._positions_below(ends):
            records = [
                record
                for record in self.poll()
                if record.offset < ends.get((record.topic, record.partition), 0)
            ]
            if records:
                deadline = Deadline.after(_STALL_TIMEOUT_S)
                yield records
            elif deadline.is_over():
                raise BrokerUnavailableError(
                    f"The broker gave no record for {_STALL_TIMEOUT_S:g} s although there "
                    "are more: check that it runs."
                )

    def _positions_below(self, ends: Mapping[tuple[str, int], int]) -> bool:
        with asking("looking up the position", self._access):
            return any(
                self._consumer.position(tp) < ends.get((tp.topic, tp.partition), 0)
                for tp in self._partitions
            )
