"""kafka-python's clients, each made of a connection, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from workers.errors import BrokerUnavailableError
from workers.kafka.client import Connection
from workers.kafka.kafka_python.access import Access
from workers.kafka.kafka_python.errors import asking
from workers.kafka.kafka_python.greeting import greet
from workers.kafka.kafka_python.option_checks import building
from workers.kafka.kafka_python.options import admin_options, consumer_options, producer_options

_GREET_WITHIN_S: Final = 5.0


def make_consumer(connection: Connection, **more: Any) -> KafkaConsumer:
    """Connect a consumer.

    Raises:
        SettingsError: an option that it cannot use, or a broker that does not let us in, and why.
        BrokerUnavailableError: no answer.
    """
    options = consumer_options(connection, **more)
    with _opening("opening a consumer", Access.reading(connection)):
        return KafkaConsumer(**options)


def make_producer(connection: Connection, **more: Any) -> KafkaProducer:
    """Connect a producer; raises as `make_consumer`."""
    options = producer_options(connection, **more)
    with _opening("opening a producer", Access.writing(connection)):
        return KafkaProducer(**options)


def make_admin(connection: Connection) -> KafkaAdminClient:
    """Connect an admin client; raises as `make_consumer`."""
    options = admin_options(connection)
    with _opening(f"asking {connection.bootstrap}", Access.looking(connection)):
        return KafkaAdminClient(**options)


@contextmanager
def _opening(what: str, access: Access) -> Iterator[None]:
    connection = access.connection
    try:
        with asking(what, access), building(connection.options):
            yield
    except BrokerUnavailableError:
        greet(connection, timeout_s=_GREET_WITHIN_S)  # it says why, if a broker does
        raise
