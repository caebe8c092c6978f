"""`POST /scale` and `vigie scale`: who may ask, for what, and what they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from fastapi import FastAPI

from tests.support.supervision import SupervisorHarness
from workers.api.scale import MAX_BODY_BYTES
from workers.api.server import Endpoint, application_of, serving
from workers.cli import main as cli
from workers.cli.exits import ExitCode

Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def harness() -> SupervisorHarness:
    return SupervisorHarness(ingest=2, partitions=4)


@pytest.fixture
def ask(harness: SupervisorHarness) -> Ask:
    """Ask the application itself, as any peer under any name; see `asked`."""
    application = application_of(Endpoint(harness.supervisor))

    def call(body: bytes, **other: Any) -> tuple[int, dict[str, Any]]:
        return asyncio.run(asked(application, body, **other))

    return call


async def asked(
    application: FastAPI,
    body: bytes,
    *,
    method: str = "POST",
    peer: str = "127.0.0.1",
    readable: bool = True,
    **headers: str | None,
) -> tuple[int, dict[str, Any]]:
    """What a request is answered; a header that is None is left out."""
    usual = {
        "host": "localhost:9464",
        "content_type": "application/json; charset=utf-8",
        "content_length": str(len(body)),
    }
    scope = {
        "type": "http",
        "method": method,
        "path": "/scale",
        "query_string": b"",
        "client": (peer, 50_000) if peer else None,
        "headers": [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in (usual | headers).items()
            if value is not None
        ],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        assert readable, "it was read"
        return {"type": "http.request", "body": body}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_a_number_becomes_the_target(harness: SupervisorHarness, ask: Ask, peer: str) -> None:
    status, answer = ask(b'{"ingest": 3}', peer=peer)
    assert status == 200
    assert (answer["ingest"]["target"], answer["ingest"]["mode"]) == (3, "manual")
    assert answer["last_decision"]["text"] == "by hand: 2 -> 3 ingest"
    assert harness.supervisor.scaling.decisions == {("ingest", "out"): 1}


def test_auto_gives_the_number_back_to_the_load(ask: Ask) -> None:
    _, answer = ask(b'{"ingest": "auto"}')
    assert (answer["ingest"]["mode"], answer["ingest"]["target"]) == ("auto", 2)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b'{"ingest": 5}', 409, "at most 4, got 5"),
        (b'{"ingest": 0}', 409, "at least 1"),
        (b'{"scorers": 2}', 409, "there are no scorers"),
        (b'{"ingest": 3, "scorers": 2}', 409, "there are no scorers"),
        (b'{"ingest": 2.5}', 400, "ingest"),
        (b'{"ingest": true}', 400, "ingest"),
        (b'{"ingest": "many"}', 400, "ingest"),
        (b'{"workers": 3}', 400, "workers"),
        (b"{}", 400, 'name "ingest", "scorers" or both'),
        (b"[3]", 400, "the body"),
        (b"{", 400, "the body"),
        (b"\xff", 400, "the body"),
        (b"", 400, "the body"),
    ],
)
def test_what_there_cannot_be_is_rejected_with_the_reason_and_changes_nothing(
    harness: SupervisorHarness, ask: Ask, body: bytes, status: int, told: str
) -> None:
    found, answer = ask(body)
    assert found == status
    assert told in answer["error"]
    assert harness.supervisor.scaling.ingest.target == 2


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({"method": "GET"}, 405),
        ({"peer": "192.0.2.1"}, 403),
        ({"peer": "::ffff:192.0.2.1"}, 403),
        ({"peer": ""}, 403),
        ({"host": "rebound.example:9464"}, 403),
        ({"host": "127.0.0.1.rebound.example"}, 403),
        ({"host": ""}, 403),
        ({"host": None}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": None}, 415),
        ({"content_length": ""}, 411),
        ({"content_length": None}, 411),
        ({"content_length": "many"}, 411),
        ({"content_length": "-1"}, 413),
        ({"content_length": str(MAX_BODY_BYTES + 1)}, 413),
    ],
)
def test_who_may_not_ask_is_rejected_unread(
    harness: SupervisorHarness, ask: Ask, other: dict[str, Any], status: int
) -> None:
    found, answer = ask(b'{"ingest": 3}', readable=False, **other)
    assert found == status
    assert answer["error"]
    assert harness.supervisor.scaling.ingest.target == 2


@contextmanager
def served(harness: SupervisorHarness) -> Iterator[str]:
    with (
        structlog.testing.capture_logs() as lines,
        serving(host="127.0.0.1", port=0)(harness.supervisor),
    ):
        (address,) = (line["address"] for line in lines if line["event"] == "metrics_served")
        yield address


def test_vigie_scale_asks_over_http_and_tells_what_became_of_it(harness, capsys) -> None:
    with served(harness) as address:
        assert cli.main(["scale", "--ingest", "4", "--address", address, "--json"]) == ExitCode.OK
        assert json.loads(capsys.readouterr().out)["ingest"]["target"] == 4
        assert cli.main(["scale", "--ingest", "auto", "--address", address]) == ExitCode.OK
        shown = capsys.readouterr().out
        assert "Ingest: 0 of 4 at work, following the load, 1 to 4" in shown
        assert "by hand: 2 -> 4 ingest" in shown


def test_vigie_scale_passes_a_rejection_on(harness, capsys) -> None:
    with served(harness) as address:
        assert cli.main(["scale", "--ingest", "9", "--address", address]) == ExitCode.USAGE
    assert "at most 4, got 9" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--ingest", "0"], ["--ingest", "some"]])
def test_vigie_scale_rejects_what_makes_no_sense_before_it_asks(arguments, capsys) -> None:
    assert cli.main(["scale", *arguments]) == ExitCode.USAGE


def test_vigie_scale_says_when_nobody_is_there(free_port, capsys) -> None:
    address = f"http://127.0.0.1:{free_port}"
    assert cli.main(["scale", "--ingest", "1", "--address", address]) == ExitCode.FAILURE
    assert "vigie run" in capsys.readouterr().err
