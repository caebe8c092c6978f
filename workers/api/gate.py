"""Who asks, and how often: looked at before anything else that costs something.

A request with good credentials is counted by them; one with none, or with bad ones, by its
address. So somebody who guesses tokens is slowed down, and nobody who shares an address with them,
of a proxy perhaps, and has a token is. What comes from an address beyond its number is still looked
up, as it may be good, but few at a time: whoever guesses there takes little from all others.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from http import HTTPStatus
from typing import Final

import anyio
import anyio.to_thread
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from workers.api.auth import AGAIN_KEY, ANYONE, COOKIE, STATE_KEY, unauthorized
from workers.api.credentials import Credentials
from workers.api.problems import ProblemError, problem_response
from workers.errors import SettingsError
from workers.gateway.principals import Principal
from workers.gateway.store.database import DatabaseUnavailableError

__all__ = ["Gate", "RateLimits"]

UNCOUNTED: Final = frozenset({"/healthz"})
"""What watches the process must never take a limit for a death."""
_IPV6_PREFIX: Final = 64
_SUSPECTS_AT_ONCE: Final = 2
_MAX_SHOWN: Final = 8192
"""Longer credentials are nobody's."""


class _Kind(Enum):
    """What a request shows."""

    TOKEN = auto()
    COOKIE = auto()
    OTHER = auto()


class RateLimits:
    """So many requests in a while, each of whoever it is counted by."""

    def __init__(self, rate: str) -> None:
        """Of a rate such as `600/minute`.

        Raises:
            SettingsError: it is none.
        """
        try:
            self._item: RateLimitItem = parse(rate)
        except ValueError as error:
            raise SettingsError(
                f"gateway.rate_limit must be a rate such as 600/minute, got {rate!r}"
            ) from error
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def count(self, key: str) -> int | None:
        """Count a request; None, or the seconds after which another one is let through."""
        return None if self._limiter.hit(self._item, key) else self._wait_s(key)

    def exhausted(self, key: str) -> int | None:
        """The same, without counting."""
        return None if self._limiter.test(self._item, key) else self._wait_s(key)

    def _wait_s(self, key: str) -> int:
        ends = self._limiter.get_window_stats(self._item, key).reset_time
        return max(math.ceil(ends - time.time()), 1)


class Gate:
    """ASGI: leaves who asks in the request's state, for `workers.api.auth`."""

    def __init__(
        self, app: ASGIApp, *, credentials: Credentials, limits: RateLimits, open_access: bool
    ) -> None:
        """In front of `app`; `open_access` makes everybody an administrator."""
        self._app = app
        self._credentials, self._limits, self._open = credentials, limits, open_access
        self._suspects = anyio.CapacityLimiter(_SUSPECTS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 429."""
        if scope["type"] != "http" or scope["path"] in UNCOUNTED:
            await self._app(scope, receive, send)
            return
        by = f"address:{_address(scope)}"
        found: Principal | Exception | None = None
        again: Callable[[], bool] = _always
        if self._open:
            found = ANYONE
        elif shown := _shown(Headers(scope=scope)):
            limiter = None if self._limits.exhausted(by) is None else self._suspects
            found = await anyio.to_thread.run_sync(self._looked_up, *shown, limiter=limiter)
            if isinstance(found, Principal):
                by = found.id
                again = partial(self._still_holds, *shown, found)
        wait_s = self._limits.count(by)
        if wait_s is not None:
            answer = problem_response(
                HTTPStatus.TOO_MANY_REQUESTS,
                "Too many requests; wait a while.",
                {"Retry-After": str(wait_s)},
            )
            await answer(scope, receive, send)
            return
        scope.setdefault("state", {}).update({STATE_KEY: found, AGAIN_KEY: again})
        await self._app(scope, receive, send)

    def _looked_up(self, kind: _Kind, secret: str) -> Principal | Exception:
        """Who it is, or why that is not known: for routes that want to know."""
        if len(secret) > _MAX_SHOWN:
            return unauthorized()
        try:
            if kind is _Kind.TOKEN:
                return self._credentials.of_token(secret).principal
            if kind is _Kind.COOKIE:
                return self._credentials.of_cookie(secret)
        except (ProblemError, DatabaseUnavailableError) as error:
            return error
        return unauthorized()

    def _still_holds(self, kind: _Kind, secret: str, before: Principal) -> bool:
        """Whether it is still the one it was, for what goes on for long; blocks."""
        now = self._looked_up(kind, secret)
        if isinstance(now, DatabaseUnavailableError):  # nobody can tell, nor is there any news
            return True
        return now == before


def _always() -> bool:
    """Of a gateway that asks nobody."""
    return True


def _shown(headers: Headers) -> tuple[_Kind, str] | None:
    """What a request shows; a token comes before a cookie, as no browser adds it by itself."""
    if "authorization" in headers:
        scheme, _, secret = headers["authorization"].partition(" ")
        return (_Kind.TOKEN if scheme.lower() == "bearer" else _Kind.OTHER), secret.strip()
    cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
    return (_Kind.COOKIE, cookie) if cookie else None


def _address(scope: Scope) -> str:
    """Of the peer; those of one IPv6 network count as one, as a single host may have them all."""
    host = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)
