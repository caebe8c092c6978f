"""An identity provider of a test's own: signed tokens, its public keys, and its token endpoint."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://issuer.test"
AUDIENCE = "kafka"
_KEY_ID = "test"


@dataclass
class IdentityProvider:
    """Client credentials (RFC 6749, 4.4) for the clients that are registered with it.

    Attributes:
        clients: secret by client id.
        lifetime_s: of the tokens that it gives; negative ones are expired when they are given.
        given: how many tokens it gave.
        scopes: what the last request asked for.
    """

    clients: dict[str, str] = field(default_factory=dict)
    lifetime_s: float = 300.0
    given: int = 0
    scopes: str = ""
    url: str = ""
    _key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )

    def write_keys(self, path: Path) -> None:
        """Write its public keys (a JWKS), for a broker."""
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        path.write_text(json.dumps({"keys": [{**key, "kid": _KEY_ID, "alg": "RS256"}]}))

    def token(self, client: str, *, lifetime_s: float | None = None) -> str:
        """A token for a client."""
        now = time.time()
        lifetime_s = self.lifetime_s if lifetime_s is None else lifetime_s
        claims = {
            "sub": client,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": int(now) - 3600,
            "exp": int(now + lifetime_s),
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": _KEY_ID})


@contextmanager
def identity_provider(clients: dict[str, str]) -> Iterator[IdentityProvider]:
    """One that answers at `IdentityProvider.url`."""
    provider = IdentityProvider(clients=dict(clients))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = dict(urllib.parse.parse_qsl(body))
            kind, _, code = self.headers.get("authorization", "").partition(" ")
            client, _, secret = base64.b64decode(code).decode().partition(":")
            client, secret = map(urllib.parse.unquote_plus, (client, secret))
            known = kind == "Basic" and provider.clients.get(client) == secret
            if form.get("grant_type") != "client_credentials" or not known:
                self._answer(HTTPStatus.UNAUTHORIZED, {"error": "invalid_client"})
                return
            provider.given += 1
            provider.scopes = form.get("scope", "")
            answer = {
                "access_token": provider.token(client),
                "token_type": "Bearer",
                "expires_in": max(1, int(provider.lifetime_s)),
            }
            self._answer(HTTPStatus.OK, answer)

        def _answer(self, status: HTTPStatus, document: dict[str, object]) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_port}/token"
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
