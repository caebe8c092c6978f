"""Which gateway is asked and by whom, and what is said when that does not work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.asked import Asked, Ended
from workers.api.gateway_client import GatewayClient
from workers.cli.exits import ExitCode
from workers.cli.gateway_options import TOKEN_VARIABLE, GatewayOptions
from workers.errors import SettingsError, VigieError
from workers.gateway.principals import Scope


def failed(ended: Ended, *words: str, code: ExitCode) -> None:
    assert ended.code == code, ended
    for one in words:
        assert one in ended.err


def test_nobody_there_says_how_to_start_it(gateway: Asked, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    for command in (("incidents", "list"), ("incidents", "follow")):
        ended = gateway.run(*command, "--url", url)
        failed(ended, url, "vigie serve", "--url", code=ExitCode.FAILURE)


def test_the_address_is_that_of_the_settings(gateway: Asked) -> None:
    port = gateway.url.rpartition(":")[2]
    for settings in (f"gateway.url={gateway.url}", f"gateway.port={port}"):
        assert gateway.run("silences", "list", "--set", settings).code == ExitCode.OK
    (Path.cwd() / "vigie.toml").write_text(f'[gateway]\nhost = "127.0.0.1"\nport = {port}\n')
    assert gateway.run("silences", "list").code == ExitCode.OK
    failed(gateway.run("silences", "list", "-s", "gateway.port=0"), "--url", code=ExitCode.USAGE)


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "http://127.0.0.1:8080"), ("::", "http://[::1]:8080"),
     ("::1", "http://[::1]:8080"), ("gateway.lan", "http://gateway.lan:8080")],
)  # fmt: skip
def test_a_gateway_that_listens_everywhere_is_asked_here(host: str, address: str) -> None:
    options = GatewayOptions(assignments=[f"gateway.host={host}", "gateway.port=8080"])
    with options.asking() as client:
        assert client.url == address


def test_the_token_comes_from_a_file_or_from_the_environment_and_never_from_an_argument(
    gateway: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(gateway.token(Scope.READ) + "\n")
    monkeypatch.setenv(TOKEN_VARIABLE, "vigie_wrong_one")
    failed(gateway.vigie("silences", "list"), "does not know the token", code=ExitCode.USAGE)
    assert gateway.vigie("silences", "list", "--token-file", str(file)).code == ExitCode.OK
    monkeypatch.delenv(TOKEN_VARIABLE)
    for command in (("silences", "list"), ("incidents", "follow")):
        failed(gateway.vigie(*command), "vigie tokens create", code=ExitCode.USAGE)
    assert gateway.vigie("silences", "list", "--token", "x").code == ExitCode.USAGE


def test_a_token_that_may_not_is_told_what_it_lacks(
    gateway: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, gateway.token(Scope.READ))
    create = ("subscriptions", "create", "--name", "a", "--email", "a@b.c")
    failed(gateway.vigie(*create), "operate", code=ExitCode.USAGE)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "é"])
def test_a_token_that_no_header_takes_is_rejected_before_it_is_sent(token: str) -> None:
    with pytest.raises(SettingsError, match="token"), GatewayClient.open("http://x", token):
        pass


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "http://", "http://[::1"])
def test_an_address_that_is_none_is_rejected(url: str) -> None:
    with pytest.raises(SettingsError, match="http://"), GatewayClient.open(url):
        pass


# -- the stream ------------------------------------------------------------------------------------


@contextmanager
def scripted(*bodies: tuple[int, str]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers, and what was asked: a path, of a stream the last id."""
    seen: list[str] = []
    answers = list(bodies)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_stream = self.path.startswith("/v1/stream")
            seen.append(self.headers.get("Last-Event-ID", "") if is_stream else self.path)
            status, body = answers.pop(0)
            self.send_response(status)
            kind = "text/event-stream" if status == 200 else "application/problem+json"
            self.send_header("Content-Type", kind)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def test_a_stream_that_is_cut_goes_on_where_it_was() -> None:
    said: list[str] = []
    slept: list[float] = []
    with (
        scripted(
            (200, "retry: 500\n\nid: 7\nevent: a\ndata: {}\n\nid: 8\nevent: half"),
            (503, "{}"),
            (200, "id: 8\nevent: b\ndata: {}\n\n: still here\n\nid: 9\nevent: c\ndata: {}\n\n"),
        ) as (url, seen),
        GatewayClient.open(url, "t") as client,
    ):
        happened = client.follow({}, after="3", lost=said.append, sleep=slept.append)
        found = [next(happened) for _ in range(3)]
    assert [(one.id, one.type) for one in found] == [("7", "a"), ("8", "b"), ("9", "c")]
    assert seen == ["3", "7", "7"]
    assert said == ["the gateway answers 503"]
    assert slept == [0.5, 4.0]


def test_a_stream_that_never_began_is_an_error() -> None:
    problem = '{"title": "Service Unavailable", "detail": "As many as may be."}'
    for status, body, words in (
        (503, problem, "As many as may be"),
        (404, "<html>", "no gateway"),
    ):
        with scripted((status, body)) as (url, _), GatewayClient.open(url) as client:
            happened = client.follow({}, after=None, lost=lambda _: None)
            with pytest.raises(VigieError, match=words):
                next(happened)


def test_a_list_is_read_page_by_page_up_to_what_is_wanted() -> None:
    pages = [(200, '{"items": [1, 2], "next": "c1"}'), (200, '{"items": [3], "next": "c2"}')]
    with scripted(*pages) as (url, seen), GatewayClient.open(url) as client:
        found: list[object] = list(client.entries("/v1/x", {"q": "a b", "state": ""}, most=3))
    assert found == [1, 2, 3]
    assert seen == ["/v1/x?q=a+b&limit=3", "/v1/x?q=a+b&cursor=c1&limit=1"]
    one = (200, '{"items": [1], "next": null}')
    with scripted(one) as (url, _), GatewayClient.open(url) as client:
        found = list(client.entries("/v1/x", {}, most=None))
    assert found == [1]
