"""Tokens of an identity provider: whose signature counts, for whom, until when, and what for."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from schemas.settings import OidcSettings
from tests.support.api import Api, served
from workers.api.auth import CSRF_HEADER, Scope
from workers.api.oidc import open_provider
from workers.errors import SettingsError

ISSUER = "https://id.example/realms/plant"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())
SHARED = "a secret that is shared, of forty-two letters"


class Provider:
    """An identity provider: its keys at an address, and what it signs."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_up = True
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                body = json.dumps({"keys": provider.keys()}).encode()
                self.send_response(HTTPStatus.OK if provider.is_up else HTTPStatus.BAD_GATEWAY)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"

    @staticmethod
    def keys() -> list[dict[str, Any]]:
        def public(algorithm: Any, key: Any, kid: str, name: str) -> dict[str, Any]:
            told: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
            return told | {"kid": kid, "use": "sig", "alg": name}

        octets = json.loads(jwt.algorithms.HMACAlgorithm.to_jwk(SHARED))
        return [
            public(jwt.algorithms.RSAAlgorithm, RSA, "rsa", "RS256"),
            public(jwt.algorithms.ECAlgorithm, EC, "ec", "ES256"),
            octets | {"kid": "shared", "use": "sig", "alg": "HS256"},
        ]

    @property
    def settings(self) -> OidcSettings:
        return OidcSettings(issuer=ISSUER, audience="vigie", jwks_url=self.url, scope_claim="scope")


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    thread = Thread(target=provider.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()
    thread.join()


@pytest.fixture
def api(tmp_path: Path, provider: Provider) -> Iterator[Api]:
    with served(tmp_path, oidc=provider.settings) as api:
        yield api


def signed(*, key: Any = EC, algorithm: str = "ES256", kid: str | None = "ec", **other: Any) -> str:
    """A token; a claim that is None is left out."""
    claims = {
        "iss": ISSUER,
        "aud": "vigie",
        "sub": "user-1",
        "exp": time.time() + 600,
        "scope": "openid operate",
        **other,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm, headers={} if kid is None else {"kid": kid})


def asked(api: Api, token: str) -> Any:
    return api.client.get("/session", headers={"Authorization": f"Bearer {token}"})


def test_a_token_of_the_provider_stands_for_a_person(api: Api) -> None:
    for token in (signed(email="ann@plant.example"), signed(
        key=RSA, algorithm="RS256", kid="rsa", email="ann@plant.example")):  # fmt: skip
        shown = asked(api, token).json()
        assert (shown["name"], shown["scopes"]) == ("ann@plant.example (user-1)", ["operate"])
    assert asked(api, signed(scope=["read", "admin"])).json()["scopes"] == ["admin", "read"]


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": time.time() - 60},
        {"exp": None},
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"aud": "another program"},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"nbf": time.time() + 86_400},
        {"key": STRANGER},
        {"key": STRANGER, "kid": "unknown"},
        {"kid": None},
        {"key": SHARED, "algorithm": "HS256", "kid": "shared"},
        {"key": None, "algorithm": "none", "kid": "ec"},
        {"key": RSA, "algorithm": "RS256", "kid": "ec"},
        {"key": RSA, "algorithm": "RS512", "kid": "rsa"},
        {"pad": "x" * 9000},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_us_is_turned_away(api: Api, claims: dict[str, Any]) -> None:
    assert asked(api, signed(**claims)).status_code == 401


def test_the_public_key_of_the_provider_is_no_shared_secret(api: Api) -> None:
    from base64 import urlsafe_b64encode
    from hashlib import sha256
    from hmac import digest

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = signed(key=RSA, algorithm="RS256", kid="rsa").split(".")

    def packed(data: bytes) -> str:
        return urlsafe_b64encode(data).decode().rstrip("=")

    head = packed(json.dumps({"alg": "HS256", "kid": "rsa", "typ": "JWT"}).encode())
    forged = f"{head}.{good[1]}"
    forged += f".{packed(digest(pem, forged.encode(), sha256))}"
    assert asked(api, forged).status_code == 401


def test_clocks_may_differ_by_a_little(api: Api) -> None:
    assert asked(api, signed(exp=time.time() - 20)).status_code == 200
    assert asked(api, signed(exp=time.time() - 40)).status_code == 401


def test_who_has_no_scope_of_ours_may_do_nothing(api: Api) -> None:
    for scope in ("openid", "", None, 7, "READ", "reader"):
        assert asked(api, signed(scope=scope)).status_code == 403


def test_who_has_no_tenant_sees_nothing_where_tenants_are_told_apart(
    tmp_path: Path, provider: Provider
) -> None:
    oidc = provider.settings.model_copy(update={"tenant_claim": "site"})
    with served(tmp_path, oidc=oidc) as api:
        assert asked(api, signed(site="north")).json()["tenant"] == "north"
        for site in (None, "", 7, ["north"], "x" * 65, "North", "a b", "a\n", "a\0"):
            answer = asked(api, signed(site=site))
            assert answer.status_code == 401
            assert "tenant" in answer.json()["detail"]


def test_a_person_whose_name_cannot_be_kept_is_turned_away(api: Api) -> None:
    assert asked(api, signed(sub="a\0b")).status_code == 401
    assert asked(api, signed(email="a\0b")).json()["name"] == "user-1"


def test_two_people_of_one_name_are_two(api: Api) -> None:
    def name(subject: str) -> str:
        return str(asked(api, signed(sub=subject, email="ann@plant.example")).json()["name"])

    assert name("user-1") != name("user-2")
    assert asked(api, signed(email="x" * 5000, sub="y" * 255)).status_code == 200


def test_unknown_keys_do_not_make_us_ask_the_provider_every_time(
    api: Api, provider: Provider
) -> None:
    assert asked(api, signed()).status_code == 200
    for number in range(5):
        assert asked(api, signed(kid=f"unknown-{number}")).status_code == 401
    assert provider.asked <= 2


def test_a_provider_that_does_not_answer_is_not_asked_by_everybody(
    api: Api, provider: Provider
) -> None:
    provider.is_up = False
    for _ in range(3):
        answer = asked(api, signed())
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert provider.asked == 1
    assert api.client.get("/session", headers=api.bearer(Scope.READ)).status_code == 200


def test_a_session_of_the_page_ends_with_the_token_of_the_provider(api: Api) -> None:
    api.clock.now_ns = time.time_ns()
    answer = api.client.post("/session", json={"token": signed(email="ann@plant.example")})
    assert answer.status_code == 201
    shown = api.client.get("/session").json()
    assert (shown["name"], shown["scopes"]) == ("ann@plant.example (user-1)", ["operate"])
    assert api.client.delete("/session").status_code == 403
    api.clock.go_on(601)
    csrf = {CSRF_HEADER: answer.json()["csrf"]}
    assert api.client.delete("/session", headers=csrf).status_code == 401


def test_without_a_provider_nobody_signs_but_us(tmp_path: Path) -> None:
    with served(tmp_path) as api:
        assert asked(api, signed()).status_code == 401


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://id.example/keys", True),
        ("http://127.0.0.1:8081/keys", True),
        ("http://localhost/keys", True),
        ("http://id.example/keys", False),
        ("http://127.0.0.1.example/keys", False),
        ("file:///etc/keys", False),
        ("", False),
    ],
)
def test_keys_come_by_a_way_that_nobody_can_change(url: str, *, is_good: bool) -> None:
    settings = OidcSettings(issuer=ISSUER, jwks_url=url)
    if is_good:
        assert open_provider(settings) is not None
    else:
        with pytest.raises(SettingsError, match=r"oidc\."):
            open_provider(settings)
