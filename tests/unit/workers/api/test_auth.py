"""Who may ask for what: tokens, scopes, tenants, sessions of the page, open access."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi.routing import APIRoute
from sqlalchemy import event, select

from tests.support.api import START_NS, Api, opened_gateway, served
from workers.api.app import ROUTES, create_app
from workers.api.auth import COOKIE, CSRF_HEADER, Scope
from workers.errors import SettingsError
from workers.gateway.principals import ANYONE, Principal
from workers.gateway.store import sessions, tokens
from workers.gateway.store.tables import sessions as session_table
from workers.gateway.store.tables import tokens as token_table

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("POST", "/session"),
    ("GET", "/static/{name:path}"),
    ("GET", "/favicon.ico"),
}
"""What is answered without a token; the files of the page hold no data."""
HOUR = 3600.0


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path) as api:
        yield api


def status(api: Api, path: str = "/session", **headers: str) -> int:
    return api.client.get(path, headers=headers).status_code


def log_in(api: Api, *scopes: Scope, **options: Any) -> str:
    """A session in the cookies of the client; its CSRF token."""
    answer = api.client.post("/session", json={"token": api.token(*scopes, **options)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["csrf"])


def row_of(api: Api, token: str) -> Any:
    with api.gateway.database.read() as connection:
        wanted = token_table.c.id == token.split("_")[1]
        return connection.execute(select(token_table).where(wanted)).one()


@pytest.mark.parametrize("module", ROUTES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_nothing_but_health_is_told_without_a_token(api: Api, module: Any) -> None:
    assert module.router.routes
    for route in module.router.routes:
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            path = re.sub(r"\{[^}]*\}", "0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11", route.path)
            answer = api.client.request(method, path)
            is_open = (method, route.path) in OPEN
            assert (answer.status_code == 401) is not is_open, (method, path, answer.text)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer vigie_",
        "Bearer vigie__",
        "Bearer vigie_000000000000_" + "0" * 48,
        "Bearer vigie_%00_%00",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Bearer " + "x" * 5000,
        "Basic dmlnaWU6dmlnaWU=",
        "token",
        "",
    ],
)
def test_what_is_no_token_is_turned_away_with_the_way_to_ask(api: Api, header: str) -> None:
    answer = api.client.get("/session", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_id_of_a_token_is_not_enough(api: Api) -> None:
    token = api.token(Scope.READ)
    for wrong in (token[:-1], token + "0", token[:-1] + ("0" if token[-1] != "0" else "1"),
                  token.upper(), token.replace("vigie_", "vigie_ ")):  # fmt: skip
        assert status(api, Authorization=f"Bearer {wrong}") == 401
    other = api.token(Scope.READ)
    mixed = "_".join([*token.split("_")[:2], other.split("_")[2]])
    assert status(api, Authorization=f"Bearer {mixed}") == 401
    assert status(api, Authorization=f"Bearer {token}") == 200
    assert status(api, authorization=f"bEARER  {token}") == 200


def test_a_scope_holds_those_before_it_and_none_behind_it() -> None:
    def may(own: Scope) -> list[bool]:
        principal = Principal(name="", scopes=frozenset({own}), id="")
        return [principal.may(scope) for scope in Scope]

    assert [may(own) for own in Scope] == [
        [True, False, False], [True, True, False], [True, True, True],
    ]  # fmt: skip
    assert not Principal(name="", scopes=frozenset(), id="").may(Scope.READ)


def test_who_may_look_may_not_look_behind_the_scenes(api: Api) -> None:
    for scope, expected in ((Scope.READ, 403), (Scope.OPERATE, 403), (Scope.ADMIN, 200)):
        assert status(api, "/v1/audit", **api.bearer(scope)) == expected


def test_a_token_ends_at_its_expiry_and_at_its_revocation_at_once(api: Api) -> None:
    token = api.token(Scope.READ, expires_ns=START_NS + 60 * 10**9)
    header = {"Authorization": f"Bearer {token}"}
    assert status(api, **header) == 200
    api.clock.go_on(59.9)
    assert status(api, **header) == 200
    api.clock.go_on(0.1)
    assert status(api, **header) == 401

    token = api.token(Scope.READ)
    header = {"Authorization": f"Bearer {token}"}
    assert status(api, **header) == 200
    with api.gateway.database.begin() as connection:
        tokens.revoke(connection, ANYONE, token.split("_")[1], api.clock())
    assert status(api, **header) == 401


def test_the_use_of_a_token_is_noted_once_a_minute_at_most(api: Api) -> None:
    token = api.token(Scope.READ)
    header = {"Authorization": f"Bearer {token}"}
    seen = []
    for seconds in (0, 59, 2, 30, 29, 1):
        api.clock.go_on(seconds)
        assert status(api, **header) == 200
        seen.append((row_of(api, token).last_used_ns - START_NS) // 10**9)
    assert seen == [0, 0, 61, 61, 61, 121]


def test_a_use_that_cannot_be_noted_keeps_nobody_out(api: Api) -> None:
    header = api.bearer(Scope.READ)
    engine = api.gateway.database.engine
    engine.dispose()
    event.listen(engine, "connect", lambda made, _: made.execute("PRAGMA busy_timeout=0"))
    with closing(engine.raw_connection()) as writer:
        writer.cursor().execute("BEGIN IMMEDIATE")
        with structlog.testing.capture_logs() as lines:
            assert status(api, **header) == 200
        writer.rollback()
    assert [line["event"] for line in lines] == ["token_use_not_noted"]


# -- sessions --------------------------------------------------------------------------------------


def test_a_session_stands_for_its_token_in_a_cookie_that_no_script_reads(api: Api) -> None:
    csrf = log_in(api, Scope.OPERATE, name="night shift")
    shown = api.client.get("/session").json()
    assert (shown["name"], shown["scopes"], shown["csrf"]) == ("night shift", ["operate"], csrf)
    with served(Path(api.gateway.database.engine.url.database or "").parent) as again:
        answer = again.client.post("/session", json={"token": again.token(Scope.READ)})
        said = answer.headers["set-cookie"].lower()
        assert {"httponly", "path=/", "samesite=strict", "max-age=43200"} <= set(said.split("; "))
        assert "secure" not in said


@pytest.mark.parametrize(("url", "headers"), [("https://vigie.example", {"Host": "vigie.example"})])
def test_over_tls_the_cookie_goes_over_tls_alone(tmp_path: Path, url: str, headers: Any) -> None:
    with served(tmp_path, url=url) as api:
        answer = api.client.post("/session", json={"token": api.token(Scope.READ)}, headers=headers)
        assert "secure" in answer.headers["set-cookie"].lower().split("; ")


def test_a_change_with_a_cookie_needs_its_csrf_token(api: Api) -> None:
    csrf = log_in(api, Scope.OPERATE)
    for wrong in ({}, {CSRF_HEADER: ""}, {CSRF_HEADER: csrf[:-1]}, {CSRF_HEADER: "ü"}):
        sent = {name.encode(): value.encode() for name, value in wrong.items()}
        assert api.client.delete("/session", headers=sent).status_code == 403
        assert status(api) == 200
    assert api.client.delete("/session", headers={CSRF_HEADER: csrf}).status_code == 204


def test_the_csrf_token_of_one_session_is_none_of_another(api: Api) -> None:
    csrf = log_in(api, Scope.OPERATE)
    other = api.another_client()
    other.post("/session", json={"token": api.token(Scope.OPERATE)})
    assert other.delete("/session", headers={CSRF_HEADER: csrf}).status_code == 403


def test_a_change_with_a_token_needs_no_csrf_token(api: Api) -> None:
    log_in(api, Scope.READ)  # a cookie beside it changes nothing
    assert api.client.delete("/session", headers=api.bearer(Scope.READ)).status_code == 204


def test_who_logs_out_is_out_whatever_cookie_is_kept(api: Api) -> None:
    csrf = log_in(api, Scope.READ)
    cookie = api.client.cookies[COOKIE]
    answer = api.client.delete("/session", headers={CSRF_HEADER: csrf})
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert status(api, Cookie=f"{COOKIE}={cookie}") == 401


def test_a_new_session_is_another_one_and_ends_the_one_before(api: Api) -> None:
    log_in(api, Scope.READ)
    before = api.client.cookies[COOKIE]
    log_in(api, Scope.READ)
    assert api.client.cookies[COOKIE] != before
    assert api.another_client().get(
        "/session", headers={"Cookie": f"{COOKIE}={before}"}
    ).status_code == 401  # fmt: skip


def test_a_cookie_that_somebody_made_up_begins_no_session(api: Api) -> None:
    made_up = {"Cookie": f"{COOKIE}=mine"}
    answer = api.client.post("/session", json={"token": api.token(Scope.READ)}, headers=made_up)
    assert answer.cookies[COOKIE] != "mine"
    assert status(api, **made_up) == 401


def test_a_session_ends_with_its_shift_and_with_its_token(api: Api) -> None:
    log_in(api, Scope.READ)
    api.clock.go_on(12 * HOUR - 1)
    assert status(api) == 200
    api.clock.go_on(1)
    assert status(api) == 401

    token = api.token(Scope.READ, expires_ns=api.clock() + 3600 * 10**9)
    answer = api.client.post("/session", json={"token": token})
    assert "max-age=3600" in answer.headers["set-cookie"].lower()
    api.clock.go_on(HOUR)
    assert status(api) == 401

    token = api.token(Scope.READ)
    api.client.post("/session", json={"token": token})
    assert status(api) == 200
    with api.gateway.database.begin() as connection:
        tokens.revoke(connection, ANYONE, token.split("_")[1], api.clock())
    assert status(api) == 401


def test_cookies_are_kept_as_hashes_and_forgotten_when_they_are_over(api: Api) -> None:
    log_in(api, Scope.READ)
    with api.gateway.database.read() as connection:
        (row,) = connection.execute(select(session_table))
    assert api.client.cookies[COOKIE] not in str(row)
    api.clock.go_on(13 * HOUR)
    api.another_client().post("/session", json={"token": api.token(Scope.READ)})
    with api.gateway.database.begin() as connection:
        assert sessions.prune(connection, now_ns=api.clock()) == 0
        assert len(list(connection.execute(select(session_table)))) == 1


@pytest.mark.parametrize("token", ["vigie_0_0", "ünicode", "x" * 8192])
def test_a_wrong_token_begins_no_session(api: Api, token: str) -> None:
    answer = api.client.post("/session", json={"token": token})
    assert answer.status_code == 401
    assert COOKIE not in answer.cookies
    assert token not in answer.text


# -- tenants and open access -----------------------------------------------------------------------


def test_a_tenant_sees_its_own_entries_and_no_metrics(api: Api) -> None:
    from workers.gateway.store.audit import record

    north = Principal(name="n", scopes=frozenset({Scope.ADMIN}), tenant="north", id="n")
    header = api.bearer(Scope.ADMIN, tenant="north")
    with api.gateway.database.begin() as connection:
        record(connection, north, "silence.create", "s1")
    items = api.client.get("/v1/audit", headers=header).json()["items"]
    assert [one["target"] for one in items] == ["s1"]
    assert len(api.client.get("/v1/audit", headers=api.bearer(Scope.ADMIN)).json()["items"]) == 3
    assert status(api, "/metrics", **header) == 403


def test_open_access_has_to_be_asked_for_and_is_for_loopback_alone(tmp_path: Path) -> None:
    with served(tmp_path, open_access=True) as api:
        assert api.client.get("/v1/audit").status_code == 200
        assert api.client.get("/session").json()["open_access"] is True
    for host in ("0.0.0.0", "::", "192.0.2.7", "vigie.example"):
        with opened_gateway(tmp_path, host=host) as gateway:
            with pytest.raises(SettingsError, match=r"127\.0\.0\.1"):
                create_app(gateway, open_access=True)
            create_app(gateway)
