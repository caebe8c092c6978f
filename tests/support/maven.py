"""A Maven repository of a test's own, on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from workers.broker.jars import Jar


@dataclass
class Repository:
    """What is served, and what was asked for.

    Attributes:
        url: of the repository.
        files: content by file name; absent ones are 404.
        asked: file names, in the order of the requests.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add(self, artifact: str, content: bytes) -> Jar:
        """Serve a jar; return its pin."""
        jar = Jar(
            group="org.example",
            artifact=artifact,
            version="1.0",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        self.files[jar.file_name] = content
        return jar


@contextmanager
def serving() -> Iterator[Repository]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[-1]
            if name.endswith(".jar"):
                repository.asked.append(name)
            content = repository.files.get(name)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    repository = Repository(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield repository
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
