"""A receiver of webhooks as anybody may write it: takes them, and verifies their signatures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from standardwebhooks import Webhook, WebhookVerificationError

from workers.demo.webhooks import Came

HOST: Final = "127.0.0.1"
_MAX_BYTES: Final = 2**20
_TIMEOUT_S: Final = 10.0


class Receiver:
    """What came so far.

    Attributes:
        url: where it listens.
        came: the webhooks, in the order in which they came.
        valid: how many of them had a valid signature.
    """

    def __init__(self, url: str) -> None:
        """At an address; it knows no secret yet."""
        self.url = url
        self.came: list[Came] = []
        self.valid = 0
        self._webhook: Webhook | None = None
        self._lock = threading.Lock()

    def trust(self, secret: str) -> None:
        """Know the secret (whsec_...) of the subscription; before that nothing is valid."""
        self._webhook = Webhook(secret)

    def take(self, headers: dict[str, str], body: bytes, *, at_ns: int) -> bool:
        """Take a webhook in; false if nobody vouches for it."""
        document: Any = None
        is_valid = False
        if self._webhook is not None:
            try:
                document = self._webhook.verify(body, headers)
                is_valid = True
            except (WebhookVerificationError, ValueError):  # the latter of garbage
                pass
        data = document.get("data") if isinstance(document, dict) else None
        incident = str(data.get("id", "")) if isinstance(data, dict) else ""
        id_ = headers.get("webhook-id", "")
        with self._lock:
            self.came.append(Came(id_, incident, at_ns, is_valid))
            self.valid += is_valid
        return is_valid


@contextmanager
def open_receiver() -> Iterator[Receiver]:
    """Listen on a free port of this machine, in threads, until the end of the block."""

    class Handler(_Handler):
        pass

    with _Server((HOST, 0), Handler) as server:
        receiver = Receiver(f"http://{HOST}:{server.server_address[1]}/webhook")
        Handler.receiver = receiver
        thread = threading.Thread(
            target=server.serve_forever, name="demo-receiver", args=(0.1,), daemon=True
        )
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who goes away in the middle sends it again."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT_S
    receiver: Receiver

    def do_POST(self) -> None:
        """A webhook."""
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and int(length) <= _MAX_BYTES):
            self.close_connection = True
            self._answer(HTTPStatus.BAD_REQUEST)
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        is_valid = self.receiver.take(headers, body, at_ns=time.time_ns())
        self._answer(HTTPStatus.NO_CONTENT if is_valid else HTTPStatus.UNAUTHORIZED)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing: the account does."""
