"""End-to-end latency at a paced load, seen by an outside reader of the denoised topic."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from pydantic_core import from_json

from benchmarks.processes import Gate
from benchmarks.workload import CHANNELS, SENSORS, Topics, values_of
from schemas.codec import ReadingEncoder
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import consumer_options, producer_options

_TICK_S = 0.005
FIRST_WITHIN_S = 120.0
"""How long a pipeline may take to begin."""


@dataclass(frozen=True, kw_only=True)
class PaceJob:
    """Produce at a steady rate from `ready` to `stop`, each reading stamped as it is sent.

    One record of `bad_every` is no JSON; 0 is none.
    """

    connection: Connection
    topic: str
    rate: int
    ready: Any
    stop: Any
    bad_every: int = 0


@dataclass(frozen=True, kw_only=True)
class WatchJob:
    """Read what comes out: from the first output ignore some time, then measure, then `stop`."""

    connection: Connection
    topics: Topics
    ignored_s: float
    seconds: float
    stop: Any


def run_pace(job: PaceJob, gate: Gate) -> dict[str, float]:
    """Send readings of all sensors in turn; return how many, and how late this process was."""
    producer = KafkaProducer(**{**producer_options(job.connection), "linger_ms": 0})
    values = [values_of(sensor, 0, 1_000).tolist() for sensor in range(len(SENSORS))]
    encoder = ReadingEncoder(CHANNELS)
    places = itertools.cycle(range(len(SENSORS)))
    try:
        gate.wait()
        if not job.ready.wait(FIRST_WITHIN_S):
            raise RuntimeError("the pipeline is not ready")
        began_s, sent, row, bad, late_s = time.monotonic(), 0, -1, 0, 0.0
        while not job.stop.is_set():
            elapsed_s = time.monotonic() - began_s
            late_s = max(late_s, elapsed_s - sent / job.rate)
            for number in range(sent, int(elapsed_s * job.rate)):
                sensor = next(places)
                row += sensor == 0
                name = SENSORS[sensor]
                value = encoder.encode(
                    name, int(time.time() * 1e3) * 1_000_000, values[sensor][row % 1_000]
                )
                if job.bad_every and number % job.bad_every == job.bad_every - 1:
                    bad += 1
                    producer.send(job.topic, b"no JSON", name.encode())
                producer.send(job.topic, value, name.encode())
                sent = number + 1
            time.sleep(_TICK_S)
        producer.flush(timeout=30)
        return {"sent": sent, "bad": bad, "producer_late_ms": late_s * 1e3}
    finally:
        producer.close(timeout=10)


def run_watch(job: WatchJob, gate: Gate) -> dict[str, Any]:
    """Arrival by the wall clock minus the reading's own time, of each denoised reading."""
    consumer = KafkaConsumer(**consumer_options(job.connection))
    try:
        names = consumer.partitions_for_topic(job.topics.denoised)
        partitions = [TopicPartition(job.topics.denoised, partition) for partition in names]
        consumer.assign(partitions)
        consumer.seek_to_end(*partitions)
        for tp in partitions:
            consumer.position(tp)
        gate.wait()
        until_s = time.time() + 2 * FIRST_WITHIN_S
        while not (polled := consumer.poll(timeout_ms=100)) and time.time() < until_s:
            pass
        from_s = time.time() + job.ignored_s
        until_s = from_s + job.seconds
        latencies: list[float] = []
        while (now_s := time.time()) < until_s:
            if now_s >= from_s:
                for record in itertools.chain.from_iterable(polled.values()):
                    item = from_json(record.value)
                    latencies += [now_s * 1e3 - ts for ts in item["ts"]]
            polled = consumer.poll(timeout_ms=100)
        return _figures(np.array(latencies), from_s=from_s, to_s=until_s)
    finally:
        job.stop.set()
        consumer.close()


def _figures(
    latencies_ms: np.ndarray[Any, np.dtype[np.float64]], *, from_s: float, to_s: float
) -> dict[str, Any]:
    if not len(latencies_ms):
        raise RuntimeError("nothing came out of the denoised topic")
    p50, p90, p99 = np.quantile(latencies_ms, [0.5, 0.9, 0.99]).tolist()
    return {
        "from_s": from_s,
        "to_s": to_s,
        "readings": len(latencies_ms),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "max_ms": float(latencies_ms.max()),
    }
