"""Asking a gateway over HTTP: its lists, its changes, and the stream of what happens."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx2

from schemas.api.base import MAX_PAGE
from workers.errors import SettingsError, VigieError

__all__ = ["GatewayClient", "Happened"]

_WITHIN_S: Final = 30.0
_SILENT_S: Final = 45.0
"""The stream says every 15 seconds that it is still there."""
_RETRY_S: Final = 2.0
_MAX_RETRY_S: Final = 30.0
_MAX_ERRORS: Final = 20
_CALLERS_FAULT: Final = frozenset({400, 401, 403, 413, 422, 428})
"""The same request would fail again."""

Query = Mapping[str, str | int | bool | list[str] | None]


@dataclass(frozen=True, kw_only=True)
class Happened:
    """What the stream told.

    Attributes:
        id: its number; the stream goes on behind it.
        type: incident.opened and others; `reset` says that events are missing.
        text: the CloudEvent, as JSON.
    """

    id: str
    type: str
    text: str


@dataclass(frozen=True, kw_only=True)
class GatewayClient:
    """Somebody who asks a gateway.

    Every method raises `SettingsError` where the gateway says that the request is wrong, with all
    that it says of it, and `VigieError` where it cannot be reached or cannot do it.
    """

    url: str
    has_token: bool
    http: httpx2.Client

    @classmethod
    @contextmanager
    def open(cls, url: str, token: str = "") -> Iterator[Self]:
        """Ask the gateway at an address.

        Args:
            url: of the gateway, or of its page.
            token: of `vigie tokens create`; empty asks without one.

        Raises:
            SettingsError: the address is none, or the token cannot be one.
        """
        base = url.rstrip("/")
        try:
            parts = urlsplit(base)
            is_address = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            is_address = False
        if not is_address:
            raise SettingsError(f"the gateway's address {url!r} does not begin with http://")
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise SettingsError("the token holds a character that none of ours has: copy it again")
        with httpx2.Client(
            base_url=base,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=_WITHIN_S,
            # Without TLS nobody needs the authorities, which take longer to read than to ask.
            verify=True if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            # A proxy of the environment is for elsewhere.
            trust_env=not _is_local(parts.hostname or ""),
        ) as http:
            yield cls(url=base, has_token=bool(token), http=http)

    def get(self, path: str, query: Query | None = None) -> Any:
        """A document."""
        return self._ask("GET", path, query=query)[0]

    def versioned(self, path: str) -> tuple[Any, str]:
        """A document, and the ETag that a change of it has to name."""
        document, headers = self._ask("GET", path)
        return document, headers.get("ETag", "")

    def entries(self, path: str, query: Query, *, most: int | None) -> Iterator[dict[str, Any]]:
        """The entries of a list, page by page; `most` of them, None is all."""
        left, cursor = most, None
        while left is None or left > 0:
            size = MAX_PAGE if left is None else min(left, MAX_PAGE)
            page = self.get(path, {**query, "cursor": cursor, "limit": size})
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            if (cursor := page["next"]) is None:
                return

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Make a change; the answer, None if it is empty."""
        return self._ask(method, path, body=body, headers=headers)[0]

    def follow(
        self,
        query: Query,
        *,
        after: str | None,
        lost: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[Happened]:
        """What happens, for ever; goes on where it was when the connection is lost.

        Args:
            query: `type`, to be told of some alone.
            after: number of the last event that is known; None begins now.
            lost: is told why the connection was lost, before it is made anew.
            sleep: waits.
        """
        last, pause_s, has_begun = after or "", _RETRY_S, False
        while True:
            wait_s = pause_s
            try:
                for event in self._stream(query, last):
                    has_begun, last = True, event.id or last
                    if event.retry is not None:
                        pause_s = min(event.retry / 1000, _MAX_RETRY_S)
                        wait_s = pause_s
                    if event.data:
                        yield Happened(id=last, type=event.event, text=event.data)
            except httpx2.HTTPError as error:
                if not has_begun:
                    raise self._not_begun(error) from error
                lost(str(error) or type(error).__name__)
                wait_s = min(2 * max(wait_s, _RETRY_S), _MAX_RETRY_S)
            sleep(wait_s)

    # -- how -------------------------------------------------------------------------------------

    def _stream(self, query: Query, last: str) -> Iterator[httpx2.ServerSentEvent]:
        with self.http.stream(
            "GET",
            "/v1/stream",
            params=_given(query),
            headers={"Last-Event-ID": last} if last else {},
            timeout=httpx2.Timeout(_WITHIN_S, read=_SILENT_S),
        ) as response:
            if response.status_code != HTTPStatus.OK:
                response.read()
                if response.status_code in _PASSING:
                    said = f"the gateway answers {response.status_code}"
                    raise httpx2.HTTPStatusError(said, request=response.request, response=response)
                raise self._rejected(response)
            yield from httpx2.EventSource(response)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Any, Mapping[str, str]]:
        try:
            response = self.http.request(
                method, path, params=_given(query or {}), json=body, headers=dict(headers or {})
            )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise self._rejected(response)
        if response.status_code == HTTPStatus.NO_CONTENT:
            return None, response.headers
        try:
            return response.json(), response.headers
        except ValueError as error:
            raise self._no_gateway() from error

    def _unreachable(self, error: Exception) -> VigieError:
        return VigieError(
            f"no gateway answers at {self.url} ({error or type(error).__name__}): start it with "
            "vigie serve, or say where it is with --url"
        )

    def _not_begun(self, error: httpx2.HTTPError) -> VigieError:
        if isinstance(error, httpx2.HTTPStatusError):
            return self._rejected(error.response)
        return self._unreachable(error)

    def _no_gateway(self) -> VigieError:
        return VigieError(f"what answers at {self.url} is no gateway: correct its address")

    def _rejected(self, response: httpx2.Response) -> VigieError:
        """What the gateway says is wrong, field by field."""
        status = response.status_code
        if status == HTTPStatus.UNAUTHORIZED:
            return SettingsError(self._no_token())
        try:
            problem = response.json()
            said = [str(problem.get("detail") or problem["title"])]
        except (ValueError, LookupError, TypeError, AttributeError):
            return self._no_gateway()
        said += [f"  {one['pointer']}: {one['detail']}" for one in _errors(problem)]
        if wait := response.headers.get("Retry-After"):
            said[0] += f" (again in {wait} s)"
        kind = SettingsError if status in _CALLERS_FAULT else VigieError
        return kind("\n".join(said))

    def _no_token(self) -> str:
        how = "make one with vigie tokens create NAME --scope operate, and give it as VIGIE_TOKEN"
        if self.has_token:
            return f"the gateway at {self.url} does not know the token, or it has ended: {how}"
        return f"the gateway at {self.url} wants a token: {how} or with --token-file"


_PASSING: Final = frozenset({429, 502, 503, 504})
"""A stream that is turned away so may be let in later."""


def _is_local(host: str) -> bool:
    """Whether it is this machine; without what a server looks at it with, which takes a second."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _given(query: Query) -> dict[str, Any]:
    """The parameters that are given, as they stand in an address."""
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in query.items()
        if value not in (None, "", [])
    }


def _errors(problem: Mapping[str, Any]) -> list[dict[str, str]]:
    found = problem.get("errors")
    listed = found if isinstance(found, list) else []
    return [
        one
        for one in listed[:_MAX_ERRORS]
        if isinstance(one, dict) and {"pointer", "detail"} <= one.keys()
    ]
