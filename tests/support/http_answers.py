"""Servers that give one HTTP answer, whatever they are asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """One that answers at once; gives its URL."""
    head = f"HTTP/1.1 {status} .\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with _serving(lambda client, _: client.sendall(head.encode() + body)) as url:
        yield url


@contextmanager
def dripping(*, every_s: float) -> Iterator[str]:
    """One whose answer comes byte by byte and never ends; gives its URL."""

    def drip(client: socket.socket, is_over: threading.Event) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not is_over.wait(every_s):
            client.sendall(b" ")

    with _serving(drip) as url:
        yield url


@contextmanager
def _serving(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    is_over = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = server.accept()
        with client:
            client.recv(65536)
            try:
                answer(client, is_over)
            except OSError:
                return  # who asked has gone

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/token"
    finally:
        is_over.set()
        thread.join(10)
        server.close()
