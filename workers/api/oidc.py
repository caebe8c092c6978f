"""Tokens of an identity provider: JWTs with its signature, for us, that have not expired.

Only asymmetric algorithms count, so that a public key can never be taken for a shared secret, and
`none` is none. Keys come from `oidc.jwks_url` alone, whatever the token's header names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from hashlib import sha256
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import structlog

from schemas.api.base import TENANT_PATTERN
from schemas.settings import OidcSettings
from schemas.wire.limits import MAX_NAME_CHARS
from workers.api.auth import unauthorized
from workers.api.problems import ProblemError
from workers.errors import SettingsError
from workers.gateway.principals import Principal, Scope
from workers.gateway.store.tokens import Identity

if TYPE_CHECKING:
    from jwt import PyJWK

__all__ = ["IdentityProvider", "Keys", "open_provider"]

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
LEEWAY_S: Final = 30
_MAX_CHARS: Final = 8192
_AGAIN_AFTER_S: Final = 10.0
_TIMEOUT_S: Final = 5.0
_MAX_HUMAN: Final = 100


class Keys(Protocol):
    """Finds the key that signed a token."""

    def get_signing_key_from_jwt(self, token: str) -> PyJWK:
        """The key; raises a `jwt.PyJWTError` if there is none."""
        ...


class IdentityProvider:
    """Verifies tokens of one issuer."""

    def __init__(self, settings: OidcSettings, keys: Keys) -> None:
        """Of settings that name an issuer."""
        self._settings, self._keys = settings, keys

    def identity_of(self, token: str) -> Identity:
        """Whom a token stands for.

        Raises:
            ProblemError: it is not good (401), or its keys cannot be had now (503).
        """
        import jwt

        try:
            if len(token) > _MAX_CHARS:
                raise jwt.InvalidTokenError("too long")
            key = self._keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            return self._identity(claims)
        except jwt.PyJWKClientConnectionError as error:
            structlog.get_logger("vigie.api").warning("oidc_keys_unavailable", reason=str(error))
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The identity provider does not answer.",
                {"Retry-After": "10"},
            ) from error
        except (jwt.PyJWTError, ValueError) as error:
            raise unauthorized("The token of the identity provider is not good here.") from error

    def _identity(self, claims: dict[str, Any]) -> Identity:
        told = claims.get(self._settings.scope_claim, "")
        words = told.split() if isinstance(told, str) else told if isinstance(told, list) else []
        tenant = ""
        if self._settings.tenant_claim:  # without it they would see the rows of all
            tenant = claims.get(self._settings.tenant_claim, "")
            if not isinstance(tenant, str) or not tenant:
                raise unauthorized("The token of the identity provider names no tenant.")
            if not re.fullmatch(TENANT_PATTERN, tenant):
                raise unauthorized(
                    "The tenant that the token of the identity provider names is none here: it "
                    "has a to z, 0 to 9 and -, and at most 64 of them."
                )
        subject = claims["sub"]
        if not subject or not subject.isprintable():
            raise ValueError("it names nobody")
        principal = Principal(
            name=_name(claims, subject),
            scopes=frozenset(scope for scope in Scope if scope.value in words),
            tenant=tenant,
            id=f"oidc:{sha256(subject.encode()).hexdigest()}",
        )
        return Identity(principal=principal, expires_ns=int(claims["exp"]) * 10**9, token_id=None)


def _name(claims: dict[str, Any], subject: str) -> str:
    """For people, with the subject: the rest is often theirs to choose, and could be another's."""
    for claim in ("email", "preferred_username"):
        told = claims.get(claim)
        if isinstance(told, str) and told and told.isprintable():
            return f"{told[:_MAX_HUMAN]} ({subject})"[:MAX_NAME_CHARS]
    return subject[:MAX_NAME_CHARS]


def open_provider(settings: OidcSettings) -> IdentityProvider | None:
    """The identity provider of the settings, if they name one.

    Raises:
        SettingsError: they are not complete, its keys come over plain HTTP, or `pyjwt` is missing.
    """
    if not settings.issuer:
        return None
    if not settings.jwks_url or not settings.audience:
        raise SettingsError("oidc.issuer needs oidc.jwks_url and oidc.audience")
    url = urlsplit(settings.jwks_url)
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.hostname or "")):
        raise SettingsError("oidc.jwks_url must begin with https://: who sends the keys decides")
    try:
        import jwt
    except ModuleNotFoundError as error:
        raise SettingsError("[oidc] needs the package pyjwt: pip install 'vigie[oidc]'") from error
    client = jwt.PyJWKClient(settings.jwks_url, timeout=_TIMEOUT_S)
    client.fetch_data = _patient(client.fetch_data)  # type: ignore[method-assign]
    return IdentityProvider(settings, client)


def _patient(fetch: Callable[[], Any]) -> Callable[[], Any]:
    """Ask a provider once in a while: who made up the name of a key makes us ask, as often."""
    import jwt

    again_at = 0.0
    last: Any = None

    def fetch_data() -> Any:
        nonlocal again_at, last
        if monotonic() < again_at:
            if last is None:
                raise jwt.PyJWKClientConnectionError("it did not answer a moment ago")
            return last
        last = None
        try:
            last = fetch()
        finally:
            again_at = monotonic() + _AGAIN_AFTER_S
        return last

    return fetch_data


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
