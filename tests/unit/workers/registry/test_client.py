"""Asking a registry over HTTP: what is an answer, what is an outage, and what ends the run."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.settings import RegistrySettings
from tests.support.clock import FakeClock
from tests.support.registry import Registry, document, registry_running
from workers.errors import RegistryUnavailableError, SettingsError
from workers.registry import client as client_module
from workers.registry.client import RegistryClient

SCHEMA = {"schema": '"string"'}


def client_of(*urls: str, **settings: Any) -> RegistryClient:
    return RegistryClient(RegistrySettings(url=",".join(urls), **settings))


@pytest.fixture
def registry():
    with registry_running(schemas={1: SCHEMA}) as running:
        yield running


def test_a_schema_is_given(registry: Registry):
    assert client_of(registry.url + "/").get("/schemas/ids/1") == SCHEMA
    assert registry.paths == ["/schemas/ids/1"]


def test_what_the_registry_does_not_know_is_none(registry: Registry):
    assert client_of(registry.url).get("/schemas/ids/2") is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"user": "key", "password": "s3cret"}, "Basic " + b64encode(b"key:s3cret").decode()),
        ({"token": "abc"}, "Bearer abc"),
    ],
)
def test_credentials_go_along(registry: Registry, settings, expected):
    client_of(registry.url, **settings).get("/schemas/ids/1")
    assert registry.asked[0][1].get("Authorization") == expected


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejection_is_a_settings_error_that_shows_no_secret(registry: Registry, status: int):
    registry.instead = lambda _path: document({"error_code": status * 100}, status)
    with pytest.raises(SettingsError, match="rejects us") as caught:
        client_of(registry.url, user="key", password="s3cret").get("/schemas/ids/1")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        (404, {"Content-Type": "text/html"}, b"<h1>no such page</h1>"),
        document({"message": "default backend - 404"}, 404),
        document({"error_code": 50001}, 500),
        document({}, 429),
        (503, {}, b""),
        (200, {"Content-Type": "text/html"}, b"<h1>maintenance</h1>"),
        (200, {}, b"[1]"),
        (200, {}, b"[" * 100_000),
        (302, {"Location": "http://127.0.0.1:1/schemas/ids/1"}, b""),
        (302, {"Location": "/schemas/ids/1"}, b""),
        (302, {"Location": "file:///etc/hostname"}, b""),
    ],
    ids=lambda answer: f"{answer[0]}-{answer[2][:12]!r}",
)
def test_what_is_no_registry_s_answer_is_an_outage(registry: Registry, answer):
    registry.instead = lambda _path: answer
    with pytest.raises(RegistryUnavailableError, match=r"correct registry\.url"):
        client_of(registry.url).get("/schemas/ids/1")
    assert len(registry.asked) <= client_module.MAX_REDIRECTS + 1


def test_a_redirect_within_the_host_is_followed(registry: Registry):
    registry.instead = lambda path: (
        (307, {"Location": "/v2" + path}, b"") if not path.startswith("/v2") else document(SCHEMA)
    )
    assert client_of(registry.url).get("/schemas/ids/1") == SCHEMA


def test_a_redirect_to_another_host_never_gets_the_credentials(registry: Registry):
    with registry_running(schemas={1: SCHEMA}) as other:
        registry.instead = lambda path: (302, {"Location": other.url + path}, b"")
        with pytest.raises(RegistryUnavailableError, match="leads to"):
            client_of(registry.url, token="abc").get("/schemas/ids/1")
        assert other.asked == []


def test_an_answer_has_a_limit(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 10_000)
    registry.instead = lambda _path: document({"schema": "x" * 20_000})
    with pytest.raises(RegistryUnavailableError, match="more than 10000 bytes"):
        client_of(registry.url).get("/schemas/ids/1")


def test_nobody_there_is_an_outage_and_being_back_is_not(registry: Registry):
    client = client_of(registry.url, timeout_s=1.0)
    registry.stop()
    with pytest.raises(RegistryUnavailableError, match="does not answer"):
        client.get("/schemas/ids/1")
    registry.start()
    assert client.get("/schemas/ids/1") == SCHEMA


@contextmanager
def hanging() -> Iterator[str]:
    """The address of somebody who takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_an_address_that_hangs_leaves_time_for_the_next(registry: Registry):
    with hanging() as url:
        client = client_of(url, registry.url, timeout_s=1.0)
        assert client.get("/schemas/ids/1") == SCHEMA


@pytest.mark.parametrize("order", [1, -1])
def test_not_found_counts_only_when_every_address_says_it(registry: Registry, order: int):
    with hanging() as url:
        client = client_of(*[url, registry.url][::order], timeout_s=0.4)
        for _ in range(3):
            with pytest.raises(RegistryUnavailableError, match="timed out"):
                client.get("/schemas/ids/2")
    with registry_running() as other:
        client = client_of(other.url, registry.url)
        assert client.get("/schemas/ids/2") is None
        other.stop()
        with pytest.raises(RegistryUnavailableError, match="refused"):
            client.get("/schemas/ids/2")


def test_all_addresses_that_hang_take_one_timeout_together():
    with hanging() as url:
        client = client_of(url, url, url, timeout_s=0.6)
        began_s = time.monotonic()
        with pytest.raises(RegistryUnavailableError):
            client.get("/schemas/ids/1")
        assert time.monotonic() - began_s < 3.0


def test_who_asks_for_a_person_hears_of_an_outage_in_the_error_alone(registry: Registry, caplog):
    registry.stop()
    with caplog.at_level(logging.INFO), pytest.raises(RegistryUnavailableError):
        client_of(registry.url, timeout_s=1.0).get("/schemas/ids/1")
    assert caplog.records == []


def test_another_address_is_asked_when_one_is_away_and_then_first(registry: Registry):
    with registry_running(schemas={1: SCHEMA}) as other:
        client = client_of(other.url, registry.url)
        other.stop()
        for _ in range(2):
            assert client.get("/schemas/ids/1") == SCHEMA
        other.start()
        client.get("/schemas/ids/1")
        assert (len(registry.asked), len(other.asked)) == (3, 0)


def test_an_address_that_is_ahead_of_the_other_is_heard(registry: Registry):
    with registry_running() as behind:
        assert client_of(behind.url, registry.url).get("/schemas/ids/1") == SCHEMA


def test_a_registry_that_drips_is_cut_off(registry: Registry):
    clock = FakeClock()

    def slow(_path: str) -> Any:
        clock.advance(6.0)
        return document(SCHEMA)

    registry.instead = slow
    client = RegistryClient(RegistrySettings(url=registry.url, timeout_s=5.0), monotonic_s=clock)
    with pytest.raises(RegistryUnavailableError, match="too slowly"):
        client.get("/schemas/ids/1")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that only its own file trusts, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    made = subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=registry", "-addext",
            "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem",
        ],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr.decode()
    return folder


@pytest.fixture
def tls_registry(certificate: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with registry_running(schemas={1: SCHEMA}, tls=context) as running:
        yield running


def test_a_certificate_of_the_settings_is_trusted(tls_registry: Registry, certificate: Path):
    client = client_of(tls_registry.url, ca_file=certificate / "cert.pem")
    assert client.get("/schemas/ids/1") == SCHEMA


def test_a_certificate_that_is_not_trusted_ends_the_run(tls_registry: Registry):
    with pytest.raises(SettingsError, match=r"not trusted.*registry\.ca_file"):
        client_of(tls_registry.url).get("/schemas/ids/1")


def test_no_address_and_no_certificates_are_settings_errors(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"registry\.url is not set"):
        client_of()
    with pytest.raises(SettingsError, match=r"registry\.ca_file"):
        client_of("http://localhost", ca_file=tmp_path / "none.pem")
