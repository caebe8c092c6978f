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
from typing import Any

import numpy as np
from kafka import KafkaProducer
from numpy.typing import NDArray

from detector.artifact import save
from detector.calibration.budget import AlarmBudget
from detector.signal.series import Series
from detector.training.base import ViewTraining
from detector.training.train import TrainingConfig, train
from schemas.codec import FRAME_JSON, READING_JSON, FrameEncoder, ReadingEncoder
from workers.kafka.admin import TopicSpec
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of
from workers.kafka.kafka_python.options import producer_options
from workers.kafka.kafka_python.producer.fast_append import Appender

SENSORS = tuple(f"s{number:03d}" for number in range(200))
"""The sensors of most benchmarks; a larger fleet goes on with s200."""
CHANNELS = tuple(f"c{number}" for number in range(8))
PARTITIONS = 4
WINDOW = 32
START_MS = 1_700_000_000_000
INTERVAL_MS = 1_000
FRAME_READINGS = 100

_SPIKE_EVERY = 6_000
_FILLERS = 2
_UNSETTLED = 20_000
_BLOCK_ROWS = 500
_STEPS = 200  # enough to flag little but the spikes: half a per cent of the readings
_TRAINING_ROWS = 1_000
_TRAINING_WINDOWS = 12  # at least; a tenth of them is for validation


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of a model.

    Attributes:
        window: its receptive field.
        hidden: sizes of the layers between input and latent space.
        latent: size of that.
        sensors: how many it is trained on, each with a threshold of its own.
        channels: of a reading.
    """

    window: int = WINDOW
    hidden: tuple[int, ...] = (128,)
    latent: int = 32
    sensors: int = len(SENSORS)
    channels: int = len(CHANNELS)


@dataclass(frozen=True, kw_only=True)
class Content:
    """Of a filled topic: readings as JSON, one a record, or frames of some.

    Attributes:
        content_type: `READING_JSON` or `FRAME_JSON`.
        sensors: how many.
        channels: of a reading.
        frame_readings: of a frame.
    """

    content_type: str = READING_JSON
    sensors: int = len(SENSORS)
    channels: int = len(CHANNELS)
    frame_readings: int = FRAME_READINGS


@dataclass(frozen=True, kw_only=True)
class Topics:
    """The topics of one contestant in one round."""

    readings: str
    denoised: str
    anomalies: str
    dead_letters: str
    sensor_state: str
    incidents: str
    verdicts: str


def channels_of(count: int) -> tuple[str, ...]:
    """Names of so many channels."""
    return tuple(f"c{number}" for number in range(count))


def values_of(
    sensor: int, start: int, stop: int, channels: int = len(CHANNELS)
) -> NDArray[np.float64]:
    """[stop - start, channels] values of one sensor: channels that depend on a load, noise, spikes.

    A pure function of sensor and row, so that nothing has to be kept.
    """
    row = np.arange(start, stop)
    load = np.sin(row / 40.0 + sensor) + 0.4 * np.sin(row / 9.0 + 2.0 * sensor)
    gain = np.linspace(0.5, 1.5, channels)
    clean = 5.0 + load[:, None] * gain + (load**2)[:, None] * gain[::-1] * 0.3
    noise = np.random.default_rng([sensor, start]).normal(scale=0.05, size=clean.shape)
    spiked = (row + 977 * sensor) % _SPIKE_EVERY == _SPIKE_EVERY // 2
    noise[spiked, sensor % channels] += 2.0
    rounded: NDArray[np.float64] = np.round(clean + noise, 2)
    return rounded


def train_model(
    folder: Path, shape: Shape | None = None, further_views: tuple[ViewTraining, ...] = ()
) -> Path:
    """Train the signal autoencoder, with further views if any, for a few seconds and store it."""
    shape = shape or Shape()
    rows = max(_TRAINING_ROWS, _TRAINING_WINDOWS * shape.window)
    series = [
        Series(
            sensor=name,
            ts_ns=stamps_ns(0, rows),
            values=values_of(number, 0, rows, shape.channels),
        )
        for number, name in enumerate(SENSORS[: shape.sensors])
    ]
    config = TrainingConfig(
        channels=channels_of(shape.channels),
        name="benchmark",
        receptive_field=shape.window,
        model={"hidden": shape.hidden, "latent_size": shape.latent},
        max_steps=_STEPS,
        further_views=further_views,
        budget=AlarmBudget(false_alarms=1.0, per_s=86_400.0),
        device="cpu",
    )
    return save(train(series, config), folder)


def stamps_ns(start: int, stop: int) -> NDArray[np.int64]:
    """Event times of rows, nanoseconds."""
    return (START_MS + np.arange(start, stop, dtype=np.int64) * INTERVAL_MS) * 1_000_000


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
        sensor_state=f"{name}-sensor-state",
        incidents=f"{name}-incidents",
        verdicts=f"{name}-verdicts",
    )
    stamped = {"message.timestamp.type": "LogAppendTime", **configs}
    specs = [
        TopicSpec(name=output, partitions=PARTITIONS, configs=stamped)
        for output in (topics.denoised, topics.anomalies, topics.dead_letters, topics.incidents)
    ]
    compacted = {"cleanup.policy": "compact", "segment.bytes": str(8 * 2**20)}
    specs.append(TopicSpec(name=topics.sensor_state, partitions=PARTITIONS, configs=compacted))
    specs.append(TopicSpec(name=topics.verdicts, partitions=1, configs=compacted))
    if readings is None:
        specs.append(TopicSpec(name=topics.readings, partitions=PARTITIONS, configs=configs))
    admin_of(connection).create_topics(specs)
    return topics


def fill(
    connection: Connection,
    topic: str,
    *,
    rows: int,
    content: Content,
) -> None:
    """Fill a topic with `rows` readings of each sensor, row by row, in two processes."""
    admin_of(connection).create_topics([TopicSpec(name=topic, partitions=PARTITIONS)])
    with ProcessPoolExecutor(_FILLERS, mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(
                _fill, connection, topic, rows, content, range(nth, content.sensors, _FILLERS)
            )
            for nth in range(_FILLERS)
        ]
        for part in parts:
            part.result()


def name_of(sensor: int) -> bytes:
    """Its key."""
    return f"s{sensor:03d}".encode()


def _fill(connection: Connection, topic: str, rows: int, content: Content, sensors: range) -> None:
    records = {READING_JSON: _readings, FRAME_JSON: _frames}[content.content_type]
    is_default = content.content_type == READING_JSON
    headers = [] if is_default else [("content-type", content.content_type.encode())]
    producer = KafkaProducer(**producer_options(connection))
    try:
        appender, futures = Appender(producer), []
        for key, value in records(sensors, rows, content):
            futures.append(appender.append(topic, key, value, headers))
            if len(futures) >= _UNSETTLED:
                _settle(producer, futures)
        _settle(producer, futures)
    finally:
        producer.close(timeout=10)


def _settle(producer: KafkaProducer, futures: list[Any]) -> None:
    producer.flush(timeout=60)
    if not all(future.succeeded() for future in futures):
        raise RuntimeError("the broker did not take all readings: more disk, or a faster one")
    futures.clear()


def _readings(sensors: range, rows: int, content: Content) -> Iterator[tuple[bytes, bytes]]:
    encoder = ReadingEncoder(channels_of(content.channels))
    names = {sensor: name_of(sensor).decode() for sensor in sensors}
    # A block of all sensors is in memory at a time.
    step = max(_BLOCK_ROWS * len(SENSORS) // (_FILLERS * len(sensors)), 1)
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        blocks = {
            sensor: values_of(sensor, start, stop, content.channels).tolist() for sensor in sensors
        }
        for row, ts_ns in enumerate(stamps_ns(start, stop).tolist()):
            for sensor, name in names.items():
                yield name.encode(), encoder.encode(name, ts_ns, blocks[sensor][row])


def _frames(sensors: range, rows: int, content: Content) -> Iterator[tuple[bytes, bytes]]:
    encoder = FrameEncoder(channels_of(content.channels))
    for start in range(0, rows, content.frame_readings):
        stop = min(start + content.frame_readings, rows)
        ts_ns = stamps_ns(start, stop)
        for sensor in sensors:
            name = name_of(sensor)
            values = values_of(sensor, start, stop, content.channels)
            yield name, encoder.encode(name.decode(), ts_ns, values)
