"""A schema registry of a test's own on this machine: what Confluent's API says, and its failures.

It serves `/schemas/ids/N` and `/subjects/S/versions/N`, with the bodies and the error codes of that
API. What a real one answers is tested in `tests/integration/test_registry.py`.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


def document(body: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


@dataclass
class Registry:
    """What is registered, and what was asked for.

    Attributes:
        port: where it listens, also after a restart.
        schemas: the body by id.
        versions: the body by subject and version.
        asked: paths, in the order of the requests, with their headers.
        instead: answers in place of the registry: what a gateway or a rejection looks like.
    """

    port: int = 0
    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    versions: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    instead: Callable[[str], Answer] | None = None
    tls: ssl.SSLContext | None = None
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def add(self, schema_id: int, text: Any, kind: str = "AVRO", **more: Any) -> None:
        text = text if isinstance(text, str) else json.dumps(text)
        kinds = {} if kind == "AVRO" else {"schemaType": kind}  # as the API leaves it out
        self.schemas[schema_id] = {"schema": text, **kinds, **more}

    def answer(self, target: str) -> Answer:
        parts = [unquote(part) for part in urlsplit(target).path.split("/")[1:]]
        found = None
        if parts[:2] == ["schemas", "ids"]:
            found = self.schemas.get(int(parts[2]))
            missing = {"error_code": 40403, "message": "Schema not found"}
        else:
            found = self.versions.get((parts[1], int(parts[3])))
            missing = {"error_code": 40402, "message": "Version not found"}
        return document(missing, 404) if found is None else document(found)

    def start(self) -> None:
        """Listen, at the port of the last time."""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append((self.path, dict(self.headers.items())))
                status, headers, body = (registry.instead or registry.answer)(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_arguments: object) -> None:
                """A client that leaves is not an error of the registry."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """Go away: the port refuses connections."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None


@contextmanager
def registry_running(**given: Any) -> Iterator[Registry]:
    registry = Registry(**given)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()
