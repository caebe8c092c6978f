"""The endpoint of a running pipeline: what it answers, and peers that are no good."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
import structlog

from tests.support.supervision import SupervisorHarness
from tests.support.wait import wait_until
from workers.api.server import MAX_CONNECTIONS, serving
from workers.errors import SettingsError

HALF_A_BODY = (
    b"POST /scale HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 20\r\n\r\n{"
)


@contextmanager
def served(port: int = 0, *, patience_s: int = 10) -> Iterator[int]:
    harness = SupervisorHarness(ingest=2, partitions=4)
    with (
        structlog.testing.capture_logs() as lines,
        serving(host="127.0.0.1", port=port, patience_s=patience_s)(harness.supervisor),
    ):
        (address,) = (line["address"] for line in lines if line["event"] == "metrics_served")
        yield urlsplit(address).port or 0


@pytest.fixture
def port() -> Iterator[int]:
    with served() as port:
        yield port


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def get(port: int, path: str, method: str = "GET") -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()
    finally:
        connection.close()


def is_served(port: int) -> bool:
    try:
        return get(port, "/status")[0] == 200
    except OSError:
        return False


def test_metrics_and_status_are_told_to_who_asks(port: int) -> None:
    status, kind, metrics = get(port, "/metrics")
    assert (status, (kind or "").partition(";")[0]) == (200, "text/plain")
    assert b"vigie_desired_workers" in metrics
    status, kind, body = get(port, "/status")
    assert (status, kind) == (200, "application/json")
    assert json.loads(body)["scaling"]["ingest"]["target"] == 2


def test_another_path_names_those_that_there_are(port: int) -> None:
    assert get(port, "/") == (
        404, "text/plain; charset=utf-8", b"/metrics, /status or /scale\n",
    )  # fmt: skip
    assert get(port, "/openapi.json")[0] == get(port, "/docs")[0] == 404


def test_a_port_that_is_taken_is_a_wrong_setting(port: int) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"cannot listen on 127.0.0.1:{port}")):
        served(port).__enter__()


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


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /status HTTP/1.1\r\nHost: local",
        b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\nGET /status HTTP/1.1\r\n",
        HALF_A_BODY,
    ],
    ids=["nothing", "half a request", "half of the next one", "half a body"],
)
def test_a_place_is_given_back_by_who_does_not_use_it(said: bytes) -> None:
    with served(patience_s=1) as port, connected(port) as peer:
        peer.sendall(said)
        begun = time.monotonic()
        while peer.recv(65_536):
            pass
        assert time.monotonic() - begun < 5


def test_the_end_comes_whatever_peers_do() -> None:
    with ExitStack() as stack:
        with served() as port:
            for said in (b"", b"GET /st", b"POST /scale HTTP/1.1\r\nHost: localhost\r\n"):
                stack.enter_context(connected(port)).sendall(said)
            half = stack.enter_context(connected(port))
            half.sendall(HALF_A_BODY)
            assert is_served(port)
            begun = time.monotonic()
        assert time.monotonic() - begun < 5
    assert not is_served(port)
