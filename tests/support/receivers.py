"""Receivers of webhooks on this machine: good ones, slow ones, and ones that mean harm."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Mode = Literal["answer", "hang", "drip", "drip headers", "flood", "no http", "close", "answer once"]


@dataclass(frozen=True, kw_only=True)
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    """By names in lower case."""
    body: bytes
    connection: int
    """The same for all requests of one connection."""


@dataclass(kw_only=True)
class Receiver:
    """What a test sets, and what came."""

    mode: Mode = "answer"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"thank you"
    port: int = 0
    scheme: str = "http"
    received: list[Received] = field(default_factory=list)
    ended: int = 0
    """Connections that it closed."""
    flooded: int = 0
    """Bytes that a flood got rid of."""
    closing: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1") -> str:
        """Its address."""
        return f"{self.scheme}://{host}:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def do_POST(self) -> None:
        receiver = self.receiver
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        receiver.received.append(
            Received(
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                body=body,
                connection=self.client_address[1],
            )
        )
        with suppress(OSError):
            self._answer(receiver)

    def finish(self) -> None:
        super().finish()
        self.connection.close()
        self.receiver.ended += 1

    def _answer(self, receiver: Receiver) -> None:
        match receiver.mode:
            case "hang":
                receiver.closing.wait()
            case "close":
                pass
            case "no http":
                self.wfile.write(b"220 smtp.example ready\r\n")
            case "drip headers":
                self._drip(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000)
            case "drip":
                self._head(100_000)
                self._drip(b"." * 100_000)
            case "flood":
                self._head(10**9)
                while not receiver.closing.is_set():
                    self.wfile.write(b"x" * 65_536)
                    receiver.flooded += 65_536
            case "answer" | "answer once":
                self._head(len(receiver.body))
                self.wfile.write(receiver.body)
                if receiver.mode == "answer":
                    return
        self.close_connection = True

    def _head(self, length: int) -> None:
        self.send_response(self.receiver.status)
        for name, value in self.receiver.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _drip(self, text: bytes) -> None:
        for byte in text:
            if self.receiver.closing.wait(0.05):
                return
            self.wfile.write(bytes([byte]))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what some tests are about."""


@contextmanager
def open_receiver(*, tls: ssl.SSLContext | None = None, **given: Any) -> Iterator[Receiver]:
    """Listen on a free port of this machine until the end of the block."""
    receiver = Receiver(**given)
    handler = type("Handler", (_Handler,), {"receiver": receiver})
    with _Server(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            receiver.scheme = "https"
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.closing.set()
            server.shutdown()
            thread.join()
