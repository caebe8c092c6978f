"""Serving an application over HTTP: uvicorn, with an end to everything that could last forever.

A peer may say nothing, say it slowly, not read what it is told, or come many times over. Each place
at the server is taken for a limited time by who does not use it, there are so many places and no
more, and what comes beyond is turned away at once.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from workers.errors import SettingsError, VigieError

__all__ = ["HttpServer", "address_of", "listening", "serving_in_thread"]

PATIENCE_S: Final = 10
"""How long a peer may take to say what it wants, or what it wants next."""
READ_WITHIN_S: Final = 30.0
"""How long a peer may leave an answer unread before it is cut off."""
_STOP_WITHIN_S: Final = 2
_JOIN_WITHIN_S: Final = 10.0
_BACKLOG: Final = 512
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n\r\n"


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is a free one.

    Raises:
        SettingsError: the address is none of this machine, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(_BACKLOG)
        except BaseException:
            bound.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error}") from error
    return bound


def address_of(bound: socket.socket, host: str) -> str:
    """The URL of a server, by the name that it was started with."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{bound.getsockname()[1]}"


def _nothing() -> None:
    """What has to be done by default when a server ends."""


class HttpServer(uvicorn.Server):
    """A server of one application; `run(sockets=[...])` blocks, `await serve(sockets=[...])` too.

    It ends within seconds of `should_exit`, whatever its peers do.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        most_connections: int,
        patience_s: int = PATIENCE_S,
        trusted_proxies: Sequence[str] = (),
        ending: Callable[[], None] = _nothing,
    ) -> None:
        """Of an application.

        Args:
            app: the application.
            most_connections: served at once.
            patience_s: how long a peer may take to say what it wants.
            trusted_proxies: networks whose X-Forwarded-For and -Proto are believed; else anybody
                could say to be anybody.
            ending: called when the end begins: makes answers end that would go on for ever.
        """
        self._ending = ending
        super().__init__(
            uvicorn.Config(
                app,
                http=type(
                    "Connection", (_Connection,), {"most": most_connections, "head_s": patience_s}
                ),
                timeout_keep_alive=patience_s,
                ws="none",
                loop="asyncio",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_STOP_WITHIN_S,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=list(trusted_proxies),
            )
        )
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        await super().startup(sockets=sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; who is still there then is cut off."""
        self._ending()
        await super().shutdown(sockets=sockets)
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Connection):
                connection.transport.abort()
        await asyncio.sleep(0)


@contextmanager
def serving_in_thread(server: HttpServer, bound: socket.socket, *, name: str) -> Iterator[None]:
    """Serve while the block runs.

    Raises:
        VigieError: the application did not start.
    """
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [bound]}, name=name, daemon=True
    )
    thread.start()
    try:
        while not server.ready.wait(0.05):
            if not thread.is_alive():
                raise VigieError("the HTTP server ended before it had begun: see the log")
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=_JOIN_WITHIN_S)
        bound.close()


class _Connection(H11Protocol):
    """A connection that somebody has to make use of."""

    most: ClassVar[int]
    head_s: ClassVar[int]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head, self._unread = _Deadline(self.loop), _Deadline(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(_BUSY)
            transport.close()
            return
        self._head.begin(self.head_s, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head.end()
        else:  # a part of the next request
            self._head.begin(self.head_s, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.begin(READ_WITHIN_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._unread.end()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head.end()
        self._unread.end()
        super().connection_lost(exc)


class _Deadline:
    """Does something if nobody says in time that it need not be done."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, after_s: float, action: Callable[[], object]) -> None:
        """Begin; one that has begun goes on."""
        if self._timer is None:
            self._timer = self._loop.call_later(after_s, action)

    def end(self) -> None:
        """Nothing need be done."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
