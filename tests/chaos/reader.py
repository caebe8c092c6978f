"""A `read_committed` reader that is there all the time, and notes what it sees and when."""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import consumer_options

_PARTITION: Final = re.compile(rb'"partition":(\d+)')


def digest(record: Any) -> int:
    """One number for all that a record says."""
    return hash((record.key, record.value, tuple((k, v) for k, v in record.headers)))


class LiveReader:
    """Follows some topics from a thread; made by `following`."""

    def __init__(
        self, connection: Connection, topics: Sequence[str], *, denoised: str, kept: str = ""
    ) -> None:
        self.seen: list[tuple[str, int, int, int]] = []
        """(topic, partition, offset, digest) of each record, in the order in which it came."""
        self.arrivals_s: dict[int, list[float]] = {}
        """When something came of each partition of the source, in `time.monotonic`."""
        self.kept: list[bytes] = []
        """Values of the topic of that name."""
        self._kept = kept
        self._connection, self._topics, self._denoised = connection, topics, denoised
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-reader", daemon=True)
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def end(self) -> None:
        """Stop; raises what the thread died of."""
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise RuntimeError("the live reader died") from self._failure

    def outage_s(self, from_s: float, to_s: float) -> float:
        """The longest time between two moments in which a partition of the source gave nothing.

        Only partitions count that have given something before.
        """
        return max(
            (
                _longest_silence(arrivals_s, from_s, to_s)
                for arrivals_s in self.arrivals_s.values()
                if arrivals_s[0] <= from_s
            ),
            default=0.0,
        )

    def _run(self) -> None:
        try:
            consumer = KafkaConsumer(**consumer_options(self._connection))
            try:
                self._follow(consumer)
            finally:
                consumer.close()
        except BaseException as failure:  # noqa: BLE001 - told by `end`
            self._failure = failure

    def _follow(self, consumer: Any) -> None:
        partitions = [
            TopicPartition(topic, partition)
            for topic in self._topics
            for partition in consumer.partitions_for_topic(topic)
        ]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        while not self._over.is_set():
            try:
                polled = consumer.poll(timeout_ms=100, max_records=5_000)
            except (KafkaError, OSError):  # the broker is away: it goes on where it was
                self._over.wait(0.1)
                continue
            now_s = time.monotonic()
            for tp, records in polled.items():
                self.seen += [(r.topic, r.partition, r.offset, digest(r)) for r in records]
                if tp.topic == self._kept:
                    self.kept += [r.value for r in records]
                if tp.topic == self._denoised:
                    for source in {_source_of(r.value) for r in records}:
                        self.arrivals_s.setdefault(source, []).append(now_s)


def _source_of(frame: bytes) -> int:
    """Partition of the source, without reading all of a denoised frame."""
    found = _PARTITION.search(frame)
    assert found is not None, frame[:200]
    return int(found[1])


def _longest_silence(arrivals_s: Sequence[float], from_s: float, to_s: float) -> float:
    first, last = bisect_left(arrivals_s, from_s), bisect_right(arrivals_s, to_s)
    return max(b - a for a, b in pairwise([from_s, *arrivals_s[first:last], to_s]))


@contextmanager
def following(
    connection: Connection, topics: Sequence[str], *, denoised: str, kept: str = ""
) -> Iterator[LiveReader]:
    """Follow these topics, one of which has the denoised frames, until the block ends.

    The values of the topic `kept` are kept.
    """
    reader = LiveReader(connection, topics, denoised=denoised, kept=kept)
    reader.start()
    try:
        yield reader
    finally:
        reader.end()
