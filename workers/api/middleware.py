"""What every request and answer passes: plain ASGI, so that a stream is passed on as it comes.

From the outside in: headers of the answer, errors that nobody expected, the name by which we are
asked, the size of what is sent.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.api.auth import SAFE_METHODS
from workers.api.problems import ProblemError, problem_response

__all__ = ["MAX_BODY_BYTES", "BodyLimit", "KnownHosts", "SecurityHeaders", "UnexpectedErrors"]

MAX_BODY_BYTES: Final = 2**20
BODY_WITHIN_S: Final = 30.0
"""A body that comes slower than that is not waited for."""
_CLOSE: Final = {"Connection": "close"}

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer; a route may say another Cache-Control, and nothing else."""


class SecurityHeaders:
    """Says to browsers what the page may do: nothing that comes from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        """In front of `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with the headers at its answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    if name != "Cache-Control" or name not in headers:
                        headers[name] = value
            await send(message)

        await self._app(scope, receive, with_headers)


class UnexpectedErrors:
    """A bug of ours is logged whole, and answered without a word about it."""

    def __init__(self, app: ASGIApp) -> None:
        """In front of `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if scope["type"] != "http":
                raise
            structlog.get_logger("vigie.api").exception(
                "request_failed", method=scope["method"], path=scope["path"], exc_info=error
            )
            if started:  # the answer cannot be taken back: the connection is cut
                raise
            answer = problem_response(
                HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here; the log says what."
            )
            await answer(scope, receive, send)


class KnownHosts:
    """Rejects requests that a page of somebody else made a browser send.

    A page may have a name of its own point at this machine: on loopback only names of this machine
    are ours. And a page may send a change without seeing the answer: a browser says so
    (`Sec-Fetch-Site`, or `Origin`), and no program does.
    """

    def __init__(self, app: ASGIApp, *, loopback_only: bool, url: str) -> None:
        """In front of `app`.

        Args:
            app: what comes behind.
            loopback_only: whether we listen on loopback alone.
            url: of the page as people reach it, by a proxy perhaps; empty if it is not said.
        """
        self._app = app
        self._loopback_only = loopback_only
        self._own = {_authority(url)} - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        if scope["type"] == "http" and (reason := self._rejection(scope)):
            await problem_response(HTTPStatus.FORBIDDEN, reason)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _rejection(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if self._loopback_only and not is_local_name(host) and host not in self._own:
            return "Ask by a name of this machine (127.0.0.1, localhost), or set gateway.url."
        if scope["method"] in SAFE_METHODS:
            return ""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            is_ours = site in {"same-origin", "none"}
        elif origin is not None:
            is_ours = _authority(origin) in {host, *self._own} - {""}
        else:
            is_ours = True
        return "" if is_ours else "A page of another site may not change anything here."


def _authority(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


class BodyLimit:
    """Rejects bodies that are too large (413) or come too slowly (408)."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int = MAX_BODY_BYTES,
        within_s: float = BODY_WITHIN_S,
    ) -> None:
        """In front of `app`."""
        self._app, self._max_bytes, self._within_s = app, max_bytes, within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; what it says of its length is believed only if it is too much."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > self._max_bytes:
            await self._too_large_response()(scope, receive, send)
            return
        received, is_complete = 0, False
        deadline = asyncio.get_running_loop().time() + self._within_s

        async def limited() -> Message:
            nonlocal received, is_complete
            if is_complete:  # what comes now is the end of the connection, perhaps of a stream
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise ProblemError(
                    HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time.", _CLOSE
                ) from None
            received += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if received > self._max_bytes:
                raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large, _CLOSE)
            return message

        await self._app(scope, limited, send)

    @property
    def _too_large(self) -> str:
        return f"A request may have {self._max_bytes} bytes at most."

    def _too_large_response(self) -> ASGIApp:
        return problem_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large, _CLOSE)


def is_local_name(host: str) -> bool:
    """Whether the host of a request is a name of this machine, with or without a port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name == "localhost" or is_loopback(name)


def is_loopback(address: str) -> bool:
    """Whether an address is one of this machine alone."""
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(peer, "ipv4_mapped", None)
    return bool((mapped or peer).is_loopback)
