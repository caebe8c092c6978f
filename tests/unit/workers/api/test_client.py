"""A pipeline that is asked over HTTP, and what is none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from workers.api.client import ask_status
from workers.errors import SettingsError, VigieError


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    def application(environ, start_response):
        start_response("200 OK", [])
        return [body]

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("suffix", ["", "/", "/status", "/metrics"])
def test_a_pipeline_is_asked_for_its_status_whatever_page_is_named(suffix):
    with answering(json.dumps({"workers": []}).encode()) as url:
        assert ask_status(url + suffix) == {"workers": []}


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"status": "ok"}'])
def test_something_else_at_that_address_is_no_pipeline(body):
    with answering(body) as url, pytest.raises(VigieError, match="correct its address"):
        ask_status(url)


def test_nobody_at_that_address_is_told(free_port):
    with pytest.raises(VigieError, match="vigie run"):
        ask_status(f"http://127.0.0.1:{free_port}")


def test_only_http_is_asked():
    with pytest.raises(SettingsError, match="http://"):
        ask_status("file:///etc/passwd")
