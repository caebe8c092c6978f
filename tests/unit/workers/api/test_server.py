"""The endpoint and peers that are no good: silent ones, and too many."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
import structlog

from tests.support.supervision import SupervisorHarness
from tests.support.wait import wait_until
from workers.api.server import MAX_CONNECTIONS, serving


@pytest.fixture
def port() -> Iterator[int]:
    with (
        structlog.testing.capture_logs() as lines,
        serving(host="127.0.0.1", port=0)(SupervisorHarness(ingest=2, partitions=4).supervisor),
    ):
        (address,) = (line["address"] for line in lines if line["event"] == "metrics_served")
        yield urlsplit(address).port or 0


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def is_served(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/status")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_connections_that_say_nothing_do_not_pile_up(port: int) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(port)) for _ in range(MAX_CONNECTIONS)]
        for _ in range(3):
            with connected(port) as one_more:
                assert one_more.makefile("rb").readline().split()[1] == b"503"
        silent.pop().close()
        wait_until(lambda: is_served(port), within=10, what="an answer, now that one has gone")
    for _ in range(2 * MAX_CONNECTIONS):
        wait_until(lambda: is_served(port), within=10, what="every place given back")
