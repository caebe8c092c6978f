"""The ceilings: how fast kafka-python alone reads, and the detector alone scores."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from kafka import KafkaConsumer, TopicPartition

from benchmarks.processes import Gate
from benchmarks.workload import SENSORS, WINDOW, values_of
from detector.artifact import load
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import consumer_options

_SCORED_SENSORS = 100
_NEW_ROWS = 50


@dataclass(frozen=True, kw_only=True)
class ConsumeJob:
    """Read partitions up to their end offsets."""

    connection: Connection
    topic: str
    ends: dict[int, int]


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """Score for so many seconds."""

    model: Path
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Readings done between two moments of the wall clock."""

    readings: int
    from_s: float
    to_s: float


def run_consume(job: ConsumeJob, gate: Gate) -> Stretch:
    """Read records and do nothing with them; from the first poll that brought some."""
    consumer = KafkaConsumer(**consumer_options(job.connection), max_poll_records=5_000)
    try:
        partitions = [TopicPartition(job.topic, partition) for partition in job.ends]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        gate.wait()
        while not consumer.poll(timeout_ms=100):
            pass
        from_s, records = time.time(), 0
        while any(consumer.position(tp) < job.ends[tp.partition] for tp in partitions):
            records += sum(map(len, consumer.poll(timeout_ms=100).values()))
        return Stretch(readings=records, from_s=from_s, to_s=time.time())
    finally:
        consumer.close()


def run_score(job: ScoreJob, gate: Gate) -> Stretch:
    """Score batches of 5,000 windows: 100 sensors, 50 new readings each behind 31 of history."""
    torch.set_num_threads(1)
    detector = load(job.model, device="cpu")
    length = WINDOW - 1 + _NEW_ROWS
    rows = np.concatenate([values_of(sensor, 1_000, 1_000 + length) for sensor in range(100)])
    ends = np.concatenate(
        [np.arange(_NEW_ROWS) + sensor * length + WINDOW - 1 for sensor in range(_SCORED_SENSORS)]
    )
    groups = np.repeat(
        np.array([detector.group_of(name) for name in SENSORS[:_SCORED_SENSORS]], np.int32),
        _NEW_ROWS,
    )
    for _ in range(5):
        detector.score(rows, ends, groups)
    gate.wait()
    readings, from_s = 0, time.time()
    until = time.monotonic() + job.seconds
    while time.monotonic() < until:
        readings += len(detector.score(rows, ends, groups).score)
    return Stretch(readings=readings, from_s=from_s, to_s=time.time())
