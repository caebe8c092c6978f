"""Readings that flow while a group is upgraded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from kafka import KafkaProducer
from numpy.typing import NDArray

from schemas.codec import ReadingEncoder
from tests.support.models import CHANNELS, SECOND_NS, START_NS, plant_values
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import producer_options

SENSORS: Final = tuple(f"pump-{number}" for number in range(6))
_ROWS: Final = 6_000
_ROWS_PER_S: Final = 25.0
_PERIOD, _FAULTY = 150, 25


@contextmanager
def readings_flowing(connection: Connection, topic: str) -> Iterator[None]:
    """Send rows of all sensors, one after the other, until the block ends.

    Each sensor has a fault every `_PERIOD` rows, at another time than the others: so at any moment
    incidents are open, and what is recorded of a sensor is more than counts.

    Raises:
        KafkaError: a reading did not arrive.
    """
    over, failures = threading.Event(), list[BaseException]()

    def send() -> None:
        try:
            _send_rows(connection, topic, over)
        except BaseException as error:  # noqa: BLE001 - raised where the block ends
            failures.append(error)

    sender = threading.Thread(target=send, name="readings")
    sender.start()
    try:
        yield
    finally:
        over.set()
        sender.join(timeout=60)
    if failures:
        raise failures[0]


def _send_rows(connection: Connection, topic: str, over: threading.Event) -> None:
    encoder = ReadingEncoder(CHANNELS)
    values = {sensor: _with_faults(number) for number, sensor in enumerate(SENSORS)}
    producer = KafkaProducer(**producer_options(connection))
    futures = []
    try:
        for row in range(_ROWS):
            for sensor in SENSORS:
                payload = encoder.encode(
                    sensor, START_NS + row * SECOND_NS, values[sensor][row].tolist()
                )
                futures.append(producer.send(topic, key=sensor.encode(), value=payload))
            if over.wait(1 / _ROWS_PER_S):
                break
        producer.flush(timeout=30)
        for future in futures:
            future.get(timeout=0)
    finally:
        producer.close(timeout=5)


def _with_faults(number: int) -> NDArray[np.float64]:
    """Rows [_ROWS, 3]: now and then the pressure stands where the flow does not want it."""
    rows = plant_values(_ROWS, seed=300 + number, phase=number)
    for start in range(60 + 20 * number, _ROWS, _PERIOD):
        rows[start : start + _FAULTY, 1] += 3.0
    return rows
