"""What every request and answer passes: headers, sizes, names, errors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from tests.support.api import Api, served
from workers.api import problems
from workers.api.auth import CSRF_HEADER, Reader, Scope
from workers.api.middleware import MAX_BODY_BYTES, SECURITY_HEADERS, BodyLimit
from workers.errors import BrokerUnavailableError
from workers.gateway.store.database import DatabaseUnavailableError


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served(tmp_path_factory.mktemp("api"), rate_limit="100000/minute") as api:
        add_routes(api.client.app)  # type: ignore[arg-type]
        yield api


def add_routes(app: FastAPI) -> None:
    failures = {
        "bug": KeyError("s3cret"),
        "database": DatabaseUnavailableError("postgresql://user:s3cret@host/db"),
        "broker": BrokerUnavailableError("s3cret"),
    }

    @app.get("/fails/{how}")
    def fails(how: str) -> None:
        raise failures[how]

    @app.get("/breaks")
    async def breaks() -> Response:
        async def half() -> Any:
            yield b"half"
            raise KeyError("s3cret")

        return StreamingResponse(half())

    @app.post("/takes")
    async def takes(request: Request) -> int:
        return len(await request.body())

    @app.post("/typed")
    def typed(_principal: Reader, wanted: dict[str, int]) -> int:
        return len(wanted)

    @app.get("/caches")
    async def caches() -> Response:
        return Response(
            "x",
            headers={"Cache-Control": "max-age=9", "Content-Security-Policy": "script-src *"},
        )


@pytest.mark.parametrize(
    "path", ["/healthz", "/session", "/nowhere", "/fails/bug", "/openapi.json"]
)
def test_every_answer_says_what_a_browser_may_do_with_it(api: Api, path: str) -> None:
    with structlog.testing.capture_logs():
        headers = api.client.get(path).headers
    assert {name: headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS


def test_the_policy_lets_nothing_run_that_is_not_ours(api: Api) -> None:
    policy = {
        words[0]: words[1:]
        for words in (
            part.split()
            for part in api.client.get("/").headers["Content-Security-Policy"].split(";")
        )
    }
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    assert "unsafe" not in str(policy)


def test_a_route_may_let_its_answer_be_kept_and_nothing_else(api: Api) -> None:
    headers = api.client.get("/caches").headers
    assert headers["Cache-Control"] == "max-age=9"
    assert headers["Content-Security-Policy"] == SECURITY_HEADERS["Content-Security-Policy"]


def test_no_bug_of_ours_is_told_to_others_and_each_is_logged(api: Api) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = api.client.get("/fails/bug?token=s3cret")
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    for word in ("s3cret", "Traceback", "KeyError", ".py"):
        assert word not in answer.text
    (line,) = lines
    assert (line["event"], line["path"]) == ("request_failed", "/fails/bug")
    assert isinstance(line["exc_info"], KeyError)


@pytest.mark.parametrize("what", ["database", "broker"])
def test_what_does_not_answer_is_to_be_asked_again(api: Api, what: str) -> None:
    answer = api.client.get(f"/fails/{what}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert what in answer.json()["detail"].lower()
    assert "s3cret" not in answer.text


def test_a_wrong_request_is_explained_without_what_it_held(api: Api) -> None:
    answer = api.client.post("/typed", json={"a": "s3cret"}, headers=api.bearer(Scope.READ))
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [one["pointer"] for one in answer.json()["errors"]] == ["body/a"]
    assert "s3cret" not in answer.text
    many = {str(number): "x" for number in range(1000)}
    answer = api.client.post("/typed", json=many, headers=api.bearer(Scope.READ))
    assert len(answer.json()["errors"]) == 20


@pytest.mark.parametrize("path", ["/nowhere", "/v1/nowhere"])
def test_what_there_is_not_is_a_problem_too(api: Api, path: str) -> None:
    answer = api.client.get(path)
    assert (answer.status_code, answer.json()["status"]) == (404, 404)
    answer = api.client.put("/healthz")
    assert (answer.status_code, answer.json()["title"]) == (405, "Method Not Allowed")


# -- sizes -----------------------------------------------------------------------------------------


def chunks(size: int) -> Iterator[bytes]:
    while size > 0:
        yield b"x" * min(size, 60_000)
        size -= 60_000


def test_a_body_has_a_size_that_it_must_not_pass_whatever_it_says(api: Api) -> None:
    most = MAX_BODY_BYTES
    assert api.client.post("/takes", content=b"x" * most).json() == most
    assert api.client.post("/takes", content=chunks(most)).json() == most
    for content in (b"x" * (most + 1), chunks(most + 1), chunks(3 * most)):
        answer = api.client.post("/takes", content=content)
        assert answer.status_code == 413
        assert answer.json()["title"]
    answer = api.client.post(
        "/typed", content=chunks(2 * most), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


def test_what_comes_in_parts_is_counted_as_a_whole() -> None:
    part = b"x" * (MAX_BODY_BYTES // 2)
    assert asyncio.run(asked_with_body(part, part)) == 200
    assert asyncio.run(asked_with_body(part, part, b"x")) == 413
    assert asyncio.run(asked_with_body(part, part, part, length="10")) == 413


def test_a_body_that_is_said_to_be_too_large_is_not_even_read() -> None:
    assert asyncio.run(asked_with_body(length="9999999999")) == 413


def test_a_body_that_comes_too_slowly_is_not_waited_for() -> None:
    assert asyncio.run(asked_with_body(length="10")) == 408


async def asked_with_body(*parts: bytes, length: str = "") -> int:
    """What a client is answered whose body comes in parts; without any it never comes."""
    app = FastAPI()
    problems.install(app)
    add_routes(app)
    sent: list[MutableMapping[str, Any]] = []
    left = list(parts)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/takes",
        "query_string": b"",
        "headers": [(b"content-length", length.encode())] if length else [],
    }
    within_s = 5.0 if parts else 0.05
    await asyncio.wait_for(BodyLimit(app, within_s=within_s)(scope, receive, send), 10)
    return int(sent[0]["status"])


def test_a_stream_may_last_although_bodies_may_not() -> None:
    told: list[str] = []

    async def stream(_scope: Any, receive: Any, _send: Any) -> None:
        told.append((await receive())["type"])
        told.append((await receive())["type"])  # waits for the end of the connection

    async def receive() -> dict[str, Any]:
        if told:
            await asyncio.sleep(0.2)
            return {"type": "http.disconnect"}
        return {"type": "http.request"}

    limited = BodyLimit(stream, within_s=0.05)
    asyncio.run(limited({"type": "http", "headers": []}, receive, receive))  # type: ignore[arg-type]
    assert told == ["http.request", "http.disconnect"]


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("127.8.8.8:1", 200),
        ("[::1]:8080", 200),
        ("LOCALHOST", 200),
        ("rebound.example", 403),
        ("localhost.rebound.example:8080", 403),
        ("127.0.0.1.rebound.example", 403),
        ("192.0.2.1", 403),
        ("[::ffff:192.0.2.1]", 403),
        ("0.0.0.0", 403),
        ("", 403),
    ],
)
def test_on_loopback_only_names_of_this_machine_are_ours(api: Api, host: str, status: int) -> None:
    assert api.client.get("/healthz", headers={"Host": host}).status_code == status


def test_a_proxy_may_ask_by_the_name_that_the_settings_say(tmp_path: Path) -> None:
    with served(tmp_path, url="https://Vigie.example:8443/page") as api:
        for host, status in (("vigie.example:8443", 200), ("vigie.example", 403)):
            assert api.client.get("/healthz", headers={"Host": host}).status_code == status


def test_beyond_loopback_every_name_is_ours(tmp_path: Path) -> None:
    with served(tmp_path, host="0.0.0.0") as api:
        assert api.client.get("/healthz", headers={"Host": "vigie.lan"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 204),
        ({"Origin": "http://127.0.0.1:8080"}, 204),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://[x"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 204),
        ({"Sec-Fetch-Site": "none"}, 204),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8080"}, 403),
    ],
)
@pytest.mark.parametrize("is_open", [False, True])
def test_a_page_of_another_site_changes_nothing_even_with_open_access(
    tmp_path: Path, headers: dict[str, str], status: int, *, is_open: bool
) -> None:
    with served(tmp_path, open_access=is_open) as api:
        if not is_open:
            session = api.client.post("/session", json={"token": api.token(Scope.READ)})
            headers = {CSRF_HEADER: session.json()["csrf"], **headers}
        assert api.client.get("/session", headers=headers).status_code == 200
        assert api.client.delete("/session", headers=headers).status_code == status


def test_no_other_site_is_let_in_by_cors(api: Api) -> None:
    asking = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for answer in (
        api.client.options("/session", headers=asking),
        api.client.get("/healthz", headers=asking),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]
