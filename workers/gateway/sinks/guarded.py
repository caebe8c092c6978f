"""Connections to addresses that were checked: what a URL says is never dialled by its name.

A name is resolved once per connection. If any of its addresses is not allowed the attempt ends: a
name that answers now this and now that gets nothing from us. The address that was checked is the
one that is dialled, so nothing can change between the two. The name stays in the Host header and
in TLS. Proxies of the environment are not asked, redirects are not followed.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Self

import httpcore2
import httpx2

from workers.errors import VigieError
from workers.gateway.sinks.addresses import AddressGuard
from workers.gateway.sinks.outcome import MAX_RESPONSE_BYTES

__all__ = ["Answer", "HttpFailureError", "HttpPoster", "RefusedTargetError", "Resolve", "resolver"]

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host; raises OSError if it has none."""

_RESOLVERS: Final = 32
_BODY_S: Final = 1.0
"""How long the body of an answer is waited for: its status has said what counts."""
_POOLS: Final = 16
_KEPT: Final = 8
_KEPT_S: Final = 30.0
_MAX_ADDRESSES: Final = 8


class RefusedTargetError(VigieError):
    """The gateway may not send there."""


class HttpFailureError(VigieError):
    """No answer came; the message says why, without the URL: it may hold a secret."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a receiver said."""

    status: int
    headers: dict[str, str]
    """By names in lower case."""
    text: str
    """Beginning of the body."""


class HttpPoster:
    """Posts bodies; keeps some connections for the next one."""

    def __init__(self, pools: Sequence[httpcore2.AsyncConnectionPool]) -> None:
        """Of open pools: a pool looks at all its connections at each request."""
        self._pools = pools

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        guard: AddressGuard,
        *,
        max_connections: int,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> AsyncIterator[Self]:
        """Open a poster.

        Args:
            guard: says which addresses may be dialled.
            max_connections: to one receiver at once; one more waits.
            resolve: how names become addresses; the system's way unless given.
            tls: whom to trust; the system's authorities unless given.
        """
        async with AsyncExitStack() as stack:
            if resolve is None:
                resolve = await stack.enter_async_context(resolver())
            backend = _CheckedBackend(guard, resolve)
            pools = [
                await stack.enter_async_context(
                    httpcore2.AsyncConnectionPool(
                        ssl_context=tls or _authorities_of_the_system(),
                        max_connections=max_connections,
                        max_keepalive_connections=_KEPT,
                        keepalive_expiry=_KEPT_S,
                        network_backend=backend,
                    )
                )
                for _ in range(_POOLS)
            ]
            yield cls(pools)

    async def post(
        self, url: str, body: bytes, headers: Sequence[tuple[str, str]], *, deadline: float
    ) -> Answer:
        """Send a body and return the answer.

        Args:
            url: where to; checked when the subscription was made.
            body: what.
            headers: beside Host and Content-Length.
            deadline: by the clock of the loop.

        Raises:
            RefusedTargetError: the gateway may not send there.
            HttpFailureError: no answer came, or not in time.
        """
        try:
            raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
            async with asyncio.timeout_at(deadline), self._stream(url, body, raw) as response:
                return Answer(
                    status=response.status,
                    headers=_texts(response.headers),
                    text=await _beginning(response, deadline),
                )
        except TimeoutError as error:
            raise HttpFailureError("no answer in time") from error
        except (httpcore2.TimeoutException, httpcore2.NetworkError) as error:
            raise HttpFailureError(_words(error) or "no connection") from error
        except (httpcore2.LocalProtocolError, UnicodeEncodeError):
            # Whoever wrote the header may have put a secret into it: no word of it gets out.
            raise RefusedTargetError(
                "a header of the subscription cannot be sent: headers are one line of ASCII"
            ) from None
        except httpcore2.ProtocolError as error:
            raise HttpFailureError(f"the answer is no HTTP: {_words(error)}") from error
        except (httpcore2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            raise RefusedTargetError("the URL cannot be used") from error

    @asynccontextmanager
    async def _stream(
        self, url: str, body: bytes, headers: list[tuple[bytes, bytes]]
    ) -> AsyncIterator[httpcore2.Response]:
        parsed = httpx2.URL(url)
        target = httpcore2.URL(
            scheme=parsed.raw_scheme,
            host=parsed.raw_host,
            port=parsed.port,
            target=parsed.raw_path,
        )
        host = (b"Host", parsed.netloc)  # the pool would write an IPv6 address without brackets
        pool = self._pools[hash(parsed.netloc) % len(self._pools)]
        async with pool.stream("POST", target, headers=[host, *headers], content=body) as response:
            yield response


@cache
def _authorities_of_the_system() -> ssl.SSLContext:
    return httpcore2.default_ssl_context()


async def _beginning(response: httpcore2.Response, deadline: float) -> str:
    """The first bytes of a body, as far as they come soon; what is left is not read."""
    read = bytearray()
    until = min(deadline, asyncio.get_running_loop().time() + _BODY_S)
    with suppress(TimeoutError, httpcore2.NetworkError, httpcore2.ProtocolError):
        async with asyncio.timeout_at(until):
            async for chunk in response.aiter_stream():
                read += chunk
                if len(read) >= MAX_RESPONSE_BYTES:
                    break
    return bytes(read[:MAX_RESPONSE_BYTES]).decode(errors="replace")


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class _CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Dials addresses that a guard admits."""

    def __init__(self, guard: AddressGuard, resolve: Resolve) -> None:
        self._guard, self._resolve = guard, resolve
        self._dialler = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the name that the pool calls it by
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"the host {host!r} is not known") from error
        refused = [one for one in addresses if not self._guard.admits(one)]
        if refused:
            raise RefusedTargetError(
                f"{host} is {refused[0]}, which is not public: if it is a receiver of yours, add "
                "its network to gateway.allow_targets"
            )
        failure = httpcore2.ConnectError(f"the host {host!r} has no address")
        for address in addresses[:_MAX_ADDRESSES]:
            try:
                return _Stream.of(
                    await self._dialler.connect_tcp(
                        address, port, timeout, local_address, socket_options
                    )
                )
            except httpcore2.ConnectError as error:
                failure = error
        raise failure


@dataclass(frozen=True)
class _Stream(httpcore2.AsyncNetworkStream):
    """A connection that says quickly whether its peer has closed it.

    The pool asks all that are idle at each request; asked by way of the library's own streams that
    takes longer than the request.
    """

    inner: httpcore2.AsyncNetworkStream
    socket: socket.socket

    @classmethod
    def of(cls, inner: httpcore2.AsyncNetworkStream) -> Self:
        return cls(inner, inner.get_extra_info("socket"))

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self.inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self.inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        return _Stream(
            await self.inner.start_tls(ssl_context, server_hostname, timeout), self.socket
        )

    def get_extra_info(self, info: str) -> Any:
        if info != "is_readable":
            return self.inner.get_extra_info(info)
        descriptor = self.socket.fileno()
        if descriptor < 0:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))


def _addresses(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@asynccontextmanager
async def resolver(
    lookup: Callable[[str, int], Sequence[str]] = _addresses,
) -> AsyncIterator[Resolve]:
    """Names by the system, in threads of their own; one name takes one thread, however many ask.

    So a name server that never answers holds up those who ask for its own names alone.
    """
    loop = asyncio.get_running_loop()
    asked: dict[tuple[str, int], asyncio.Future[Sequence[str]]] = {}
    threads = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="vigie-resolve")

    def _forget(key: tuple[str, int], done: asyncio.Future[Sequence[str]]) -> None:
        del asked[key]
        if not done.cancelled():
            done.exception()  # nobody may have waited for it to the end

    async def resolve(host: str, port: int) -> Sequence[str]:
        key = (host, port)
        if key not in asked:
            asked[key] = loop.run_in_executor(threads, lookup, host, port)
            asked[key].add_done_callback(lambda done: _forget(key, done))
        return await asyncio.shield(asked[key])

    try:
        yield resolve
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
