"""Reading a topic without a group: for commands that look at what is there and commit nothing.

A `TopicReader` reads every partition of one topic, from an offset or a time on. It joins no group,
so it disturbs nobody, and it sees committed records only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition

from workers.errors import BrokerUnavailableError, TopicError
from workers.kafka.client import Record
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.consumer.record_batch import unpack_fast
from workers.kafka.kafka_python.errors import asking
from workers.kafka.kafka_python.option_checks import building
from workers.kafka.kafka_python.options import Connection

__all__ = ["ReaderConfig", "TopicReader"]

_POLL_S: Final = 0.2
_CLOSE_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """How to read some topics from their beginning. Picklable; opens nothing.

    Attributes:
        connection: the broker and the options of the client.
        topics: what to read.
        client_id: shown in the broker's logs and tools.
        stall_timeout_s: give up when nothing came for so long although more must be there.
    """

    connection: Connection
    topics: tuple[str, ...]
    client_id: str = "vigie-reader"
    stall_timeout_s: float = 30.0

    @contextmanager
    def open(self) -> Iterator[TopicReader]:
        """Make the consumer at the beginning of every partition, and close it at the end.

        Raises:
            TopicError: a topic does not exist.
            BrokerUnavailableError: no broker answers.
        """
        options = self.connection.consumer_options(group_id=None, client_id=self.client_id)
        with asking("opening a reader"), building(self.connection.options):
            consumer = KafkaConsumer(**options)
        try:
            unpack_fast(consumer)
            with asking("looking up the partitions"):
                partitions = [
                    TopicPartition(topic, partition)
                    for topic in self.topics
                    for partition in sorted(self._partitions(consumer, topic))
                ]
                consumer.assign(partitions)
                consumer.seek_to_beginning(*partitions)
            yield TopicReader(consumer, partitions, stall_timeout_s=self.stall_timeout_s)
        finally:
            consumer.close(timeout_ms=int(_CLOSE_TIMEOUT_S * 1000))

    def _partitions(self, consumer: Any, topic: str) -> set[int]:
        partitions: set[int] | None = consumer.partitions_for_topic(topic)
        if not partitions:
            raise TopicError(
                f"The topic {topic} does not exist on {self.connection.bootstrap}: create it "
                "(vigie topics create), or correct its name."
            )
        return partitions


class TopicReader:
    """Reads on one thread; made by `ReaderConfig.open`."""

    def __init__(
        self, consumer: Any, partitions: Sequence[TopicPartition], *, stall_timeout_s: float
    ) -> None:
        self._consumer, self._partitions = consumer, list(partitions)
        self._stall_timeout_s = stall_timeout_s

    def poll(self, *, timeout_s: float = _POLL_S, max_records: int = 5000) -> list[Record]:
        """What has come, in offset order within each partition; empty when nothing has.

        Raises:
            CorruptLogError: a partition cannot be read on.
            BrokerUnavailableError, SettingsError: see `Source`.
        """
        with asking("reading"):
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        return [record for records in polled.values() for record in records]

    def ends(self) -> Mapping[tuple[str, int], int]:
        """End offset of each (topic, partition) as it is now. Asks the broker."""
        with asking("looking up the ends"):
            ends = self._consumer.end_offsets(self._partitions)
        return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}

    def beginnings(self) -> Mapping[tuple[str, int], int]:
        """First offset of each (topic, partition) that is still there. Asks the broker."""
        with asking("looking up the beginnings"):
            starts = self._consumer.beginning_offsets(self._partitions)
        return {(tp.topic, tp.partition): offset for tp, offset in starts.items()}

    def seek(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Go on from these offsets."""
        for (topic, partition), offset in offsets.items():
            self._consumer.seek(TopicPartition(topic, partition), offset)

    def offsets_at(self, time_ms: int) -> Mapping[tuple[str, int], int]:
        """First offset of each partition whose record is not before a time; else the end.

        Args:
            time_ms: epoch milliseconds, compared with the records' timestamps.
        """
        with asking("looking up a time"):
            found = self._consumer.offsets_for_times(dict.fromkeys(self._partitions, time_ms))
        ends = self.ends()
        return {
            (tp.topic, tp.partition): ends[tp.topic, tp.partition] if at is None else at.offset
            for tp, at in found.items()
        }

    def read_to(self, ends: Mapping[tuple[str, int], int]) -> Iterator[list[Record]]:
        """Records below `ends`, batch by batch, until every partition has been read so far.

        Raises:
            BrokerUnavailableError: nothing came for `stall_timeout_s`.
        """
        deadline = Deadline.after(self._stall_timeout_s)
        while self._positions_below(ends):
            records = [
                record
                for record in self.poll()
                if record.offset < ends.get((record.topic, record.partition), 0)
            ]
            if records:
                deadline = Deadline.after(self._stall_timeout_s)
                yield records
            elif deadline.is_over():
                raise BrokerUnavailableError(
                    f"The broker gave no record for {self._stall_timeout_s:g} s although there "
                    "are more: check that it runs."
                )

    def _positions_below(self, ends: Mapping[tuple[str, int], int]) -> bool:
        with asking("looking up the position"):
            return any(
                self._consumer.position(tp) < ends.get((tp.topic, tp.partition), 0)
                for tp in self._partitions
            )
