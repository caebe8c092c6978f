"""The server beneath the interface: whom it believes, and how it ends."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import structlog
from starlette.types import Receive, Scope, Send

from tests.support.api import opened_gateway
from workers.api.app import create_app
from workers.api.serving import HttpServer, listening, serving_in_thread


async def who(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the address of who asks, and how."""
    if scope["type"] != "http":
        return
    del receive
    body = json.dumps([scope["client"][0], scope["scheme"]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def seen(trusted: Sequence[str], forwarded_for: str) -> list[str]:
    server = HttpServer(who, most_connections=9, trusted_proxies=trusted)
    bound = listening("127.0.0.1", 0)
    port = bound.getsockname()[1]
    headers = {"X-Forwarded-For": forwarded_for, "X-Forwarded-Proto": "https"}
    with serving_in_thread(server, bound, name="test"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/", headers=headers)
        found: list[str] = json.loads(connection.getresponse().read())
        connection.close()
    return found


@pytest.mark.parametrize(
    ("trusted", "forwarded_for", "expected"),
    [
        ((), "192.0.2.7", ["127.0.0.1", "http"]),
        (("10.0.0.0/8",), "192.0.2.7", ["127.0.0.1", "http"]),
        (("127.0.0.0/8",), "192.0.2.7", ["192.0.2.7", "https"]),
        (("127.0.0.0/8",), "198.51.100.1, 192.0.2.7", ["192.0.2.7", "https"]),
        (("127.0.0.0/8", "192.0.2.0/24"), "198.51.100.1, 192.0.2.7", ["198.51.100.1", "https"]),
    ],
)
def test_what_a_proxy_says_is_believed_of_those_that_are_named_alone(
    trusted: Sequence[str], forwarded_for: str, expected: list[str]
):
    assert seen(trusted, forwarded_for) == expected


@pytest.mark.parametrize("path", ["/v1/stream", "/v1/live?fleet=60"])
def test_a_server_with_an_open_stream_ends_at_once_and_without_an_error(tmp_path: Path, path: str):
    with opened_gateway(tmp_path) as gateway, structlog.testing.capture_logs() as lines:
        server = HttpServer(
            create_app(gateway, open_access=True), most_connections=9, ending=gateway.fan.end
        )
        bound = listening("127.0.0.1", 0)
        connection = http.client.HTTPConnection("127.0.0.1", bound.getsockname()[1], timeout=10)
        with serving_in_thread(server, bound, name="test"):
            connection.request("GET", path, headers={"Accept": "text/event-stream"})
            stream = connection.getresponse()
            assert stream.readline().startswith(b"retry")
        rest = stream.read()  # its regular end: one that is cut off raises IncompleteRead
        connection.close()

    assert b"error" not in rest
    assert not [line for line in lines if line["log_level"] == "error"]
