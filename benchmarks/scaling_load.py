"""A load that changes by steps, from a process of its own: readings of all sensors in turn."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer

from benchmarks.processes import Gate
from benchmarks.workload import CHANNELS, SENSORS, values_of
from schemas.codec import ReadingEncoder
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import producer_options

_TICK_S = 0.02
_ROWS = 1_000


@dataclass(frozen=True, kw_only=True)
class LoadJob:
    """Send at a rate that others change.

    Attributes:
        connection, topic: where.
        rate: shared: readings a second now; below 0 it ends.
        sent: shared: readings so far.
    """

    connection: Connection
    topic: str
    rate: Any
    sent: Any


def run_load(job: LoadJob, gate: Gate) -> int:
    """Send until the rate is below 0; how many were sent."""
    producer = KafkaProducer(**producer_options(job.connection))
    values = [values_of(sensor, 0, _ROWS).tolist() for sensor in range(len(SENSORS))]
    encoder = ReadingEncoder(CHANNELS)
    places = itertools.cycle(range(len(SENSORS)))
    row = -1
    try:
        gate.wait()
        owed, looked_s = 0.0, time.monotonic()
        while (rate := job.rate.value) >= 0:
            now_s = time.monotonic()
            # What a busy machine kept us from sending comes later, not never: at most a second.
            owed, looked_s = min(owed + rate * (now_s - looked_s), max(rate, 1.0)), now_s
            for sensor in itertools.islice(places, int(owed)):
                row += sensor == 0
                stamp_ns = int(time.time() * 1e3) * 1_000_000
                reading = values[sensor][row % _ROWS]
                producer.send(
                    job.topic,
                    encoder.encode(SENSORS[sensor], stamp_ns, reading),
                    SENSORS[sensor].encode(),
                )
                job.sent.value += 1
            owed -= int(owed)
            time.sleep(_TICK_S)
        producer.flush(timeout=30)
        return int(job.sent.value)
    finally:
        producer.close(timeout=10)
