"""The audit says what is known of a pin, and does not pass for one where nobody answered."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy.audit import main

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def osv(vulnerable: str | None) -> Iterator[str]:
    """A service of vulnerabilities that knows one, of the version of a package that it is asked."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            known = {
                "id": "GHSA-1234", "summary": "bad", "published": "2026-01-01T00:00:00Z",
                "affected": [{
                    "package": asked["package"], "versions": [asked["version"]],
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "99.0"}]}],
                }],
            }  # fmt: skip
            is_known = asked["package"]["name"] == vulnerable
            body = json.dumps({"vulns": [known]} if is_known else {}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        finally:
            server.shutdown()
            serving.join()


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    """The pin of one package, with its hashes."""
    text = (ROOT / "requirements" / "runtime.txt").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)
    path = tmp_path / "pins.txt"
    path.write_text(next(one for one in entries if one.startswith("kafka-python==")) + "\n")
    return path


def test_a_known_vulnerability_ends_the_audit_with_an_error_that_names_it(pins, capsys):
    with osv("kafka-python") as url:
        assert main(["--pins", str(pins), "--osv-url", url]) == 1
    assert re.search(r"kafka-python \S+: GHSA-1234, fixed in 99\.0", capsys.readouterr().err)


def test_an_audit_that_finds_nothing_says_so(pins, capsys):
    with osv(None) as url:
        assert main(["--pins", str(pins), "--osv-url", url, "--required"]) == 0
    assert "No known vulnerability" in capsys.readouterr().out


def test_a_service_that_is_away_is_told_loudly_and_is_an_error_where_required(
    pins, capsys, free_port
):
    arguments = ["--pins", str(pins), "--osv-url", f"http://127.0.0.1:{free_port}/"]

    assert main(arguments) == 0
    assert "NOTHING WAS AUDITED" in capsys.readouterr().err
    assert main([*arguments, "--required"]) == 1


def test_pins_that_cannot_be_read_are_an_error(tmp_path, capsys, free_port):
    bad = tmp_path / "pins.txt"
    bad.write_text("kafka-python\n")

    assert main(["--pins", str(bad), "--osv-url", f"http://127.0.0.1:{free_port}/"]) == 1
    assert "NOTHING WAS AUDITED" not in capsys.readouterr().err
