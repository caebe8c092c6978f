"""What a contestant published, read back: is it complete, and how fast did it come?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from numpy.typing import NDArray
from pydantic_core import from_json

from benchmarks.workload import INTERVAL_MS, SENSORS, START_MS, WINDOW, Topics
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import consumer_options

WARM = 0.05
"""Share of the outputs after which the steady state begins."""


class IncompleteError(RuntimeError):
    """Outputs are missing, or too many."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """The outputs of one contestant.

    Attributes:
        readings: denoised readings, each counted once.
        repeats: denoised readings that came again.
        anomalies: flagged readings.
        dead_letters: records refused.
        from_s, to_s: wall clock of the broker when `WARM` of the outputs were there, and all.
        first_s: when the first was there.
        steady: readings that came between `from_s` and `to_s`.
    """

    readings: int
    repeats: int
    anomalies: int
    dead_letters: int
    first_s: float
    from_s: float
    to_s: float
    steady: int

    @property
    def rate(self) -> float:
        """Readings a second in the steady state."""
        return self.steady / max(self.to_s - self.from_s, 1e-3)


def read_outputs(connection: Connection, topics: Topics, *, rows: int) -> Published:
    """Read all outputs back and check them.

    Args:
        connection: where.
        topics: of the contestant.
        rows: readings of each sensor that it had to score.

    Raises:
        IncompleteError: a reading was not published, or one that does not exist.
    """
    number = {name: nth for nth, name in enumerate(SENSORS)}
    stamps: list[NDArray[np.int64]] = []
    places: list[NDArray[np.int64]] = []
    for record in records_of(connection, topics.denoised):
        item = from_json(record.value)
        ts = np.atleast_1d(np.array(item["ts"], np.int64))
        if not len(item["values"]) or np.shape(item["score"]) != np.shape(item["ts"]):
            raise IncompleteError(f"a denoised record without values or scores: {item}")
        places.append(number[item["sensor_id"]] * rows + (ts - START_MS) // INTERVAL_MS)
        stamps.append(np.full(len(ts), record.timestamp))
    stamp_ms = np.concatenate(stamps) if stamps else np.empty(0, np.int64)
    place = np.concatenate(places) if places else np.empty(0, np.int64)
    unique = np.unique(place)
    expected = np.arange(len(SENSORS) * rows)
    expected = expected[expected % rows >= WINDOW - 1]
    if not np.array_equal(unique, expected):
        raise IncompleteError(
            f"{topics.denoised}: {len(expected)} readings expected, {len(unique)} different found, "
            f"{len(np.setdiff1d(expected, unique))} missing"
        )
    stamp_ms.sort()
    from_ms = int(stamp_ms[int(WARM * len(stamp_ms))])
    return Published(
        readings=len(unique),
        repeats=len(place) - len(unique),
        anomalies=sum(1 for _ in records_of(connection, topics.anomalies)),
        dead_letters=sum(1 for _ in records_of(connection, topics.dead_letters)),
        first_s=int(stamp_ms[0]) / 1e3,
        from_s=from_ms / 1e3,
        to_s=int(stamp_ms[-1]) / 1e3,
        steady=int((stamp_ms > from_ms).sum()),
    )


def records_of(connection: Connection, topic: str) -> Iterator[Any]:
    """Every record of a topic up to its end as it is now."""
    consumer = KafkaConsumer(**consumer_options(connection))
    try:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            for batch in consumer.poll(timeout_ms=500, max_records=5_000).values():
                yield from batch
    finally:
        consumer.close()
