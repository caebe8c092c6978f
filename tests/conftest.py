"""Fixtures for every test: one broker a run, topics with names of their own."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator

import pytest

from tests.support.broker import QUICK_START, MakeTopic, topic_maker
from tests.support.postgres import MISSING, Postgres, postgres_programs, postgres_running
from workers.broker.embedded import BrokerConfig
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of


@pytest.fixture(scope="session")
def bootstrap() -> Iterator[str]:
    """The address of the broker of this run: ``VIGIE_TEST_BOOTSTRAP``, or an embedded one."""
    outside = os.environ.get("VIGIE_TEST_BOOTSTRAP")
    if outside:
        admin_of(Connection(bootstrap=outside, wait_timeout_s=10)).wait_for_broker()
        yield outside
        return
    with BrokerConfig(jvm_options=QUICK_START).open() as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def connection(bootstrap: str) -> Connection:
    """How to talk to the broker of this run; gives up fast."""
    return Connection(bootstrap=bootstrap, wait_timeout_s=10)


@pytest.fixture
def make_topic(connection: Connection) -> Iterator[MakeTopic]:
    """Make topics with random names; they are deleted after the test."""
    with topic_maker(connection) as make:
        yield make


@pytest.fixture
def group() -> str:
    """A consumer group of this test's own."""
    return f"group-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL of this run; with ``VIGIE_REQUIRE_PEERS`` set a missing one is a failure."""
    if postgres_programs() is None:
        if os.environ.get("VIGIE_REQUIRE_PEERS"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with postgres_running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """SQLAlchemy's address of an empty database of this test's own."""
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)
