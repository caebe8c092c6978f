"""The work that every contestant does: a topic full of readings, and a model to score them.

4 partitions, 200 sensors x 8 channels, one reading a second of each; readings as JSON of about
130 bytes, or as frames of 100 readings. One detector, dense 256-128-32-128-256, window 32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType

import numpy as np
from kafka import KafkaProducer
from numpy.typing import NDArray

from detector.artifact import save
from detector.calibration import AlarmBudget
from detector.training import TrainingConfig, train
from detector.windows import Series
from schemas.codec import FRAME_JSON, READING_JSON, FrameEncoder, ReadingEncoder
from workers.kafka.kafka_python import Connection
from workers.kafka.topics import TopicSpec, create_topics

SENSORS = tuple(f"s{number:03d}" for number in range(200))
CHANNELS = tuple(f"c{number}" for number in range(8))
PARTITIONS = 4
WINDOW = 32
START_MS = 1_700_000_000_000
INTERVAL_MS = 1_000
FRAME_READINGS = 100

_SPIKE_EVERY = 6_000
_FILLERS = 2
_STEPS = 200  # enough to flag little but the spikes: half a per cent of the readings


@dataclass(frozen=True, kw_only=True)
class Topics:
    """The topics of one contestant in one round."""

    readings: str
    denoised: str
    anomalies: str
    dead_letters: str


def values_of(sensor: int, start: int, stop: int) -> NDArray[np.float64]:
    """[stop - start, 8] values of one sensor: channels that depend on a load, noise, rare spikes.

    A pure function of sensor and row, so that nothing has to be kept.
    """
    row = np.arange(start, stop)
    load = np.sin(row / 40.0 + sensor) + 0.4 * np.sin(row / 9.0 + 2.0 * sensor)
    gain = np.linspace(0.5, 1.5, len(CHANNELS))
    clean = 5.0 + load[:, None] * gain + (load**2)[:, None] * gain[::-1] * 0.3
    noise = np.random.default_rng([sensor, start]).normal(scale=0.05, size=clean.shape)
    spiked = (row + 977 * sensor) % _SPIKE_EVERY == _SPIKE_EVERY // 2
    noise[spiked, sensor % len(CHANNELS)] += 2.0
    rounded: NDArray[np.float64] = np.round(clean + noise, 2)
    return rounded


def train_model(folder: Path) -> Path:
    """Train the detector for a few seconds and store it; it has a threshold for each sensor."""
    rows = 1_000
    series = [
        Series(
            sensor=name,
            ts_ns=(START_MS + np.arange(rows, dtype=np.int64) * INTERVAL_MS) * 1_000_000,
            values=values_of(number, 0, rows),
        )
        for number, name in enumerate(SENSORS)
    ]
    config = TrainingConfig(
        channels=CHANNELS,
        name="benchmark",
        receptive_field=WINDOW,
        model={"hidden": (128,), "latent_size": 32},
        max_steps=_STEPS,
        budget=AlarmBudget(false_alarms=1.0, per_s=86_400.0),
        device="cpu",
    )
    return save(train(series, config), folder)


def make_topics(
    connection: Connection,
    name: str,
    *,
    readings: str | None = None,
    configs: Mapping[str, str] = MappingProxyType({}),
) -> Topics:
    """Make the topics of one contestant; `readings` may be a filled one that exists.

    The broker stamps the outputs when it appends them: one clock for all contestants.
    """
    topics = Topics(
        readings=readings or f"{name}-readings",
        denoised=f"{name}-denoised",
        anomalies=f"{name}-anomalies",
        dead_letters=f"{name}-dead-letters",
    )
    stamped = {"message.timestamp.type": "LogAppendTime", **configs}
    specs = [
        TopicSpec(name=output, partitions=PARTITIONS, configs=stamped)
        for output in (topics.denoised, topics.anomalies, topics.dead_letters)
    ]
    if readings is None:
        specs.append(TopicSpec(name=topics.readings, partitions=PARTITIONS, configs=configs))
    create_topics(connection, specs)
    return topics


def fill(connection: Connection, topic: str, *, rows: int, content_type: str) -> None:
    """Fill a topic with `rows` readings of each sensor, row by row, in two processes."""
    create_topics(connection, [TopicSpec(name=topic, partitions=PARTITIONS)])
    with ProcessPoolExecutor(_FILLERS, mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(_fill, connection, topic, rows, content_type, nth)
            for nth in range(_FILLERS)
        ]
        for part in parts:
            part.result()


def _fill(connection: Connection, topic: str, rows: int, content_type: str, nth: int) -> None:
    records = {READING_JSON: _readings, FRAME_JSON: _frames}[content_type]
    headers = [("content-type", content_type.encode())] if content_type != READING_JSON else []
    producer = KafkaProducer(**connection.producer_options())
    try:
        partitions: dict[bytes, int] = {}
        futures = []
        for key, value in records(range(nth, len(SENSORS), _FILLERS), rows):
            if key in partitions:
                sent = producer.send(topic, value, key, headers, partitions[key])
            else:
                sent = producer.send(topic, value, key, headers)
                partitions[key] = sent.get(timeout=30).partition
            futures.append(sent)
            if len(futures) >= 20_000:
                _settle(producer, futures)
        _settle(producer, futures)
    finally:
        producer.close(timeout=10)


def _settle(producer: KafkaProducer, futures: list[object]) -> None:
    producer.flush(timeout=60)
    if not all(future.succeeded() for future in futures):  # type: ignore[attr-defined]
        raise RuntimeError("the broker did not take all readings: more disk, or a faster one")
    futures.clear()


def _readings(sensors: range, rows: int) -> Iterator[tuple[bytes, bytes]]:
    encoder = ReadingEncoder(CHANNELS)
    for start in range(0, rows, 500):
        stop = min(start + 500, rows)
        blocks = {sensor: values_of(sensor, start, stop).tolist() for sensor in sensors}
        for row in range(start, stop):
            ts_ns = (START_MS + row * INTERVAL_MS) * 1_000_000
            for sensor in sensors:
                name = SENSORS[sensor]
                yield name.encode(), encoder.encode(name, ts_ns, blocks[sensor][row - start])


def _frames(sensors: range, rows: int) -> Iterator[tuple[bytes, bytes]]:
    encoder = FrameEncoder(CHANNELS)
    for start in range(0, rows, FRAME_READINGS):
        stop = min(start + FRAME_READINGS, rows)
        ts_ns = (START_MS + np.arange(start, stop) * INTERVAL_MS) * 1_000_000
        for sensor in sensors:
            name = SENSORS[sensor]
            yield name.encode(), encoder.encode(name, ts_ns, values_of(sensor, start, stop))
