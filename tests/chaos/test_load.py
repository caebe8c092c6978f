"""The producer of a run's readings notices when the client sends no more."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.future import Future
from kafka.producer.future import RecordMetadata

from tests.chaos import load
from tests.chaos.load import LoadJob, Sensors, send_until_halt
from workers.kafka.client import Connection

JOB = LoadJob(connection=Connection(bootstrap="localhost:1"), topic="t", seed=1, per_s=1000.0)


class Producer:
    """Gives each record the same fate."""

    def __init__(self, fate: KafkaError | str) -> None:
        self._fate, self.sent = fate, 0

    def send(self, *_: Any) -> Future:
        self.sent += 1
        future = Future()
        if isinstance(self._fate, KafkaError):
            future.failure(self._fate)
        elif self._fate == "arrives":
            future.success(RecordMetadata("t", 0, None, self.sent, 0, None, 0, 0, 0))
        return future

    def flush(self, timeout: float) -> None:
        raise KafkaTimeoutError("never")


class Orders:
    """Says halt after some looks."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    def poll(self, timeout_s: float) -> bool:
        self._left -= 1
        return self._left <= 0

    def recv(self) -> None:
        return None


def send(producer: Producer, *, looks: int) -> None:
    sensors = Sensors(1)
    send_until_halt(producer, JOB, sensors, sensors.records(), Orders(looks))


def test_a_halt_ends_it_whatever_the_broker_does() -> None:
    producer = Producer("arrives")
    send(producer, looks=10**6)  # far more than fit into the time to the first record
    assert producer.sent


def test_a_record_that_failed_ends_the_producer() -> None:
    with pytest.raises(KafkaTimeoutError, match="expired"):
        send(Producer(KafkaTimeoutError("expired")), looks=10**9)


def test_a_record_that_is_under_way_for_ever_ends_the_producer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load, "_STUCK_AFTER_S", 0.05)
    with pytest.raises(KafkaTimeoutError, match="sends no more"):
        send(Producer("silence"), looks=10**9)
