"""The endpoint of a running pipeline: what it answers, and peers that are no good."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog

from schemas.settings.observing import MetricsSettings
from tests.support.supervision import Scenario, SupervisorHarness
from tests.support.wait import wait_until
from workers.api.server import MAX_CONNECTIONS, Endpoint, endpoint_of, serving
from workers.errors import SettingsError
from workers.stream.health import Phase
from workers.supervision.readiness import LIVE_WITHIN_S

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


# -- health ----------------------------------------------------------------------------------------


def told(endpoint_port: int, path: str) -> tuple[int, dict[str, Any]]:
    status, _, body = get(endpoint_port, path)
    return status, json.loads(body)


@contextmanager
def opened() -> Iterator[tuple[Endpoint, int]]:
    endpoint = Endpoint()
    with endpoint.open(host="127.0.0.1", port=0):
        yield endpoint, urlsplit(endpoint.address).port or 0


def test_before_its_supervisor_a_driver_lives_and_is_not_ready() -> None:
    with opened() as (_, port):
        assert told(port, "/healthz") == (200, {"status": "live", "tick_age_s": None})
        status, found = told(port, "/readyz")
        assert (status, found["status"]) == (503, "not ready")
        assert "looks for the broker" in found["missing"][0]
        assert told(port, "/status")[1]["workers"] == []
        metrics = get(port, "/metrics")[2]
        assert b"vigie_ready 0.0" in metrics
        assert b"supervisor_tick_age" not in metrics


def test_a_number_of_workers_asked_for_too_early_is_a_conflict_that_says_so() -> None:
    with opened() as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/scale", b'{"ingest": 2}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, b"ask again" in answer.read()) == (409, True)
        connection.close()


def test_a_driver_is_ready_once_all_its_workers_read_and_score() -> None:
    harness = SupervisorHarness(ingest=2, partitions=4)
    found: list[tuple[int, dict[str, Any]]] = []

    def scenario(port: int) -> Scenario:
        yield from harness.until(lambda: len(harness.workers) == 2)
        harness.workers[1].says(phase=Phase.STARTING)
        yield from harness.ticks(1)
        found.append(told(port, "/readyz"))
        harness.workers[1].says(phase=Phase.RUNNING)
        yield from harness.ticks(1)
        found.append(told(port, "/readyz"))
        found.append(told(port, "/healthz"))

    with opened() as (endpoint, port), endpoint.of(harness.supervisor):
        harness.run(scenario(port))
        after = told(port, "/readyz")
    assert found[0] == (503, {"status": "not ready", "missing": ["ingest worker 1 starts"]})
    assert found[1] == (200, {"status": "ready", "missing": []})
    assert found[2][1]["status"] == "live"
    assert after[0] == 503, "it has drained"


def test_a_supervisor_that_stands_still_is_not_live_whatever_the_broker_does() -> None:
    harness = SupervisorHarness(ingest=1, partitions=1)
    harness.broker_answers = False
    with opened() as (endpoint, port), endpoint.of(harness.supervisor):
        harness.run(harness.ticks(5))
        assert told(port, "/healthz")[0] == 200
        harness.clock.advance(LIVE_WITHIN_S + 1)
        status, found = told(port, "/healthz")
    assert (status, found["status"]) == (503, "stuck")
    assert found["tick_age_s"] > LIVE_WITHIN_S


def test_without_a_port_nothing_is_served() -> None:
    with endpoint_of(MetricsSettings()) as endpoint:
        assert endpoint.address == ""


def test_another_path_names_those_that_there_are(port: int) -> None:
    assert get(port, "/") == (
        404, "text/plain; charset=utf-8", b"/healthz, /readyz, /metrics, /status or /scale\n",
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
