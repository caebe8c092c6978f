"""How an exactly-once sink is set: timeouts that fit each other, options that win."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from kafka import KafkaProducer

from workers.errors import SettingsError
from workers.kafka.client import Connection
from workers.kafka.kafka_python.producer.transactional_sink import TransactionalSinkConfig


def config(transaction_timeout_s: float = 8.0, **options: Any) -> TransactionalSinkConfig:
    return TransactionalSinkConfig(
        connection=Connection(bootstrap="b:1", options=options),
        transactional_id="vigie.main.0",
        transaction_timeout_s=transaction_timeout_s,
    )


def made_with(monkeypatch, sink: TransactionalSinkConfig) -> dict[str, Any]:
    """The options that reach the client."""
    given: dict[str, Any] = {}

    class Producer:
        DEFAULT_CONFIG = KafkaProducer.DEFAULT_CONFIG

        def __init__(self, **options: Any) -> None:
            given.update(options)

        def init_transactions(self) -> None:
            pass

    monkeypatch.setattr("workers.kafka.kafka_python.clients.KafkaProducer", Producer)
    sink.producer()
    assert set(given) <= set(KafkaProducer.DEFAULT_CONFIG)
    return given


@pytest.mark.parametrize(
    ("transaction_timeout_s", "options", "named"),
    [
        (10.0, {}, ("processing.transaction_timeout_s", "kafka.client.session_timeout_ms")),
        (
            8.0,
            {"session_timeout_ms": 8000},
            ("processing.transaction_timeout_s", "kafka.client.session_timeout_ms"),
        ),
        (
            8.0,
            {"delivery_timeout_ms": 8000},
            ("kafka.client.delivery_timeout_ms", "processing.transaction_timeout_s"),
        ),
        (
            8.0,
            {"request_timeout_ms": 6000},
            ("kafka.client.request_timeout_ms", "kafka.client.delivery_timeout_ms"),
        ),
    ],
)
def test_timeouts_that_contradict_each_other_are_both_named(transaction_timeout_s, options, named):
    with pytest.raises(SettingsError) as caught:
        config(transaction_timeout_s, **options)
    assert all(name in str(caught.value) for name in named)


def test_a_longer_session_allows_longer_transactions(monkeypatch):
    given = made_with(monkeypatch, config(40.0, session_timeout_ms=45_000))

    assert given["transaction_timeout_ms"] == 40_000
    assert given["request_timeout_ms"] < given["delivery_timeout_ms"] < 40_000


def test_the_client_gets_the_identity_and_naps_briefly(monkeypatch):
    given = made_with(monkeypatch, config())

    assert given["transactional_id"] == "vigie.main.0"
    assert given["acks"] == "all"
    assert given["retry_backoff_ms"] == 5


def test_what_the_user_sets_wins(monkeypatch):
    given = made_with(
        monkeypatch,
        config(retry_backoff_ms=50, delivery_timeout_ms=7000, request_timeout_ms=2000),
    )

    assert given["retry_backoff_ms"] == 50
    assert given["delivery_timeout_ms"] == 7000
    assert given["request_timeout_ms"] == 2000


def test_a_configuration_travels():
    sink = config()
    assert pickle.loads(pickle.dumps(sink)) == sink
