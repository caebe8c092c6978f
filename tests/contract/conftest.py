"""A broker that the contract may be unkind to."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.contract.clients import CLIENTS, Client
from tests.support.broker import QUICK_START
from workers.broker.embedded import BrokerConfig, EmbeddedBroker
from workers.kafka.client import Connection


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Client:
    """The client that is to pass."""
    return CLIENTS[request.param]


@pytest.fixture(scope="module")
def victim() -> Iterator[EmbeddedBroker]:
    """A broker to be stopped and frozen; embedded even if the tests run on an outside one."""
    with BrokerConfig(jvm_options=QUICK_START).open() as broker:
        yield broker


@pytest.fixture
def victim_connection(victim: EmbeddedBroker) -> Iterator[Connection]:
    """How to talk to it; it runs when the test begins."""
    if not victim.is_running():
        victim.start()
    yield Connection(bootstrap=victim.bootstrap, wait_timeout_s=15, call_timeout_s=5)
    # kafka-python leaves sockets that were refused to the garbage collector: collect them here,
    # under this test's filter, not in a test that has nothing to do with it.
    gc.collect()
