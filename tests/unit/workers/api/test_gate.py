"""How often somebody may ask: counted by token, or by address where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from tests.support.api import BASE_URL, Api, served
from workers.api.auth import ANYONE, Scope, still_holds
from workers.api.gate import Gate, RateLimits
from workers.errors import SettingsError
from workers.gateway.store import tokens

RATE = "5/hour"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path, rate_limit=RATE) as api:
        yield api


def statuses(client: TestClient, times: int, path: str = "/session", **headers: str) -> list[int]:
    return [client.get(path, headers=headers).status_code for _ in range(times)]


def at(api: Api, address: str) -> TestClient:
    return TestClient(api.client.app, base_url=BASE_URL, client=(address, 50_000))


def test_a_token_has_so_many_requests_and_is_told_when_there_are_more(api: Api) -> None:
    header = api.bearer(Scope.READ)
    assert statuses(api.client, 6, **header) == [200] * 5 + [429]
    answer = api.client.get("/session", headers=header)
    assert answer.json()["status"] == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    assert statuses(api.client, 6, **api.bearer(Scope.READ)) == [200] * 5 + [429]


def test_an_address_has_so_many_without_a_token_and_tokens_there_have_their_own(api: Api) -> None:
    assert statuses(api.client, 6) == [401] * 5 + [429]
    assert statuses(at(api, "192.0.2.1"), 1) == [401]


def test_who_guesses_is_slowed_down_and_nobody_else_behind_their_proxy_is(api: Api) -> None:
    wrong = [f"Bearer vigie_{number:012}_{'0' * 48}" for number in range(7)]
    found = [statuses(api.client, 1, Authorization=guess)[0] for guess in wrong]
    assert found == [401] * 5 + [429] * 2
    assert statuses(api.client, 1) == [429]
    assert statuses(api.client, 6, **api.bearer(Scope.READ)) == [200] * 5 + [429]
    assert statuses(api.client, 1, Authorization=wrong[0]) == [429]


def test_who_logs_in_before_an_address_is_exhausted_goes_on_by_the_cookie(api: Api) -> None:
    assert api.client.post("/session", json={"token": api.token(Scope.READ)}).status_code == 201
    assert statuses(api.another_client(), 6) == [401] * 4 + [429] * 2
    assert statuses(api.client, 5) == [200] * 5


def test_credentials_that_are_too_long_are_nobodys(api: Api) -> None:
    assert statuses(api.client, 1, Authorization=f"Bearer vigie_{'a' * 9000}") == [401]


def test_made_up_cookies_and_logins_count_as_guesses(api: Api) -> None:
    for number in range(3):
        assert statuses(api.client, 1, Cookie=f"vigie_session={number}") == [401]
    for _ in range(2):
        wrong = {"token": "vigie_000000000000_0"}
        assert api.client.post("/session", json=wrong).status_code == 401
    assert api.client.post("/session", json={"token": api.token(Scope.READ)}).status_code == 429


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_one_network_of_a_host_counts_as_one_address(
    api: Api, one: str, other: str, *, shared: bool
) -> None:
    assert statuses(at(api, one), 5) == [401] * 5
    assert statuses(at(api, other), 1) == [429 if shared else 401]


def test_what_watches_the_process_is_never_counted(api: Api) -> None:
    assert statuses(api.client, 20, "/healthz") == [200] * 20
    assert statuses(api.client, 6, "/readyz") == [200] * 5 + [429]


def test_open_access_is_counted_too(tmp_path: Path) -> None:
    with served(tmp_path, rate_limit=RATE, open_access=True) as api:
        assert statuses(api.client, 6) == [200] * 5 + [429]


@pytest.mark.parametrize("rate", ["", "many", "0x/minute", "5", "5/fortnight"])
def test_a_rate_that_is_none_is_a_wrong_setting(tmp_path: Path, rate: str) -> None:
    with (
        pytest.raises(SettingsError, match=r"gateway\.rate_limit"),
        served(tmp_path, rate_limit=rate),
    ):
        pass


def test_whether_credentials_still_hold_can_be_asked_while_an_answer_goes_on(api: Api) -> None:
    scopes: list[Any] = []

    async def answering(scope: Any, _receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    credentials = api.client.app.state.credentials  # type: ignore[attr-defined]
    limits = RateLimits("100/minute")
    gate = Gate(answering, credentials=credentials, limits=limits, open_access=False)
    token = api.token(Scope.READ)
    TestClient(gate).get("/", headers={"Authorization": f"Bearer {token}"})
    holds = still_holds(Request(scopes[0]))
    assert holds()
    with api.gateway.database.begin() as connection:
        tokens.revoke(connection, ANYONE, token.split("_")[1], api.clock())
    assert not holds()
