"""Options of the client: each that is accepted can be opened with, each that is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer

from workers.errors import SettingsError
from workers.kafka.client import Connection
from workers.kafka.kafka_python.consumer.reader import open_reader
from workers.kafka.kafka_python.consumer.source import SourceConfig
from workers.kafka.kafka_python.option_checks import building, check_files
from workers.kafka.kafka_python.options import (
    _OWNED,
    admin_options,
    check_options,
    consumer_options,
)
from workers.kafka.kafka_python.producer.sink import SinkConfig

DEFAULTS: dict[str, Any] = {**KafkaProducer.DEFAULT_CONFIG, **KafkaConsumer.DEFAULT_CONFIG}
ACCEPTED = sorted(set(DEFAULTS) - set(_OWNED))
PASSWORD = "hunter2"


class OpenedError(Exception):
    """The client was made."""


@pytest.fixture
def opened(monkeypatch) -> dict[str, Any]:
    """What a client is made with; nothing else happens."""
    given: dict[str, Any] = {}

    def make(**options: Any) -> None:
        given.update(options)
        raise OpenedError

    for client in (KafkaConsumer, KafkaProducer):
        body = {
            "__new__": lambda _, **options: make(**options),
            "DEFAULT_CONFIG": client.DEFAULT_CONFIG,
        }
        fake = type(client.__name__, (), body)
        monkeypatch.setattr(f"workers.kafka.kafka_python.clients.{client.__name__}", fake)
    for module in ("consumer.source", "producer.base"):
        monkeypatch.setattr(
            f"workers.kafka.kafka_python.{module}.wait_for_broker", lambda *_, **__: None
        )
    return given


def opening(kind: str, connection: Connection) -> Any:
    if kind == "source":
        return SourceConfig(connection=connection, topic="t", group="g").open()
    if kind == "reader":
        return open_reader(connection, ["t"])
    return SinkConfig(connection=connection).open(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["source", "reader", "sink"])
@pytest.mark.parametrize("key", ACCEPTED)
def test_every_accepted_option_reaches_the_clients_that_know_it(kind, key, opened):
    value = "ours" if key == "client_id" else DEFAULTS[key]
    connection = Connection(bootstrap="b:1", options={key: value})
    with pytest.raises(OpenedError), opening(kind, connection):
        pass

    client = KafkaProducer if kind == "sink" else KafkaConsumer
    known = key in client.DEFAULT_CONFIG
    assert (opened.get(key, "absent") == value) if known else (key not in opened)


def test_an_address_with_credentials_is_refused():
    with pytest.raises(SettingsError, match=r"kafka\.bootstrap holds host:port only") as caught:
        Connection(bootstrap=f"me:{PASSWORD}@host:1")
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("key", sorted(_OWNED))
def test_what_vigie_decides_is_refused(key):
    with pytest.raises(SettingsError, match=rf"kafka\.client\.{key} cannot be set: "):
        check_options({key: DEFAULTS[key]})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("security_protocol", PASSWORD),
        ("sasl_mechanism", PASSWORD),
        ("client_dns_lookup", PASSWORD),
        ("compression_type", PASSWORD),
        ("proxy_url", PASSWORD),
        ("socks5_proxy", f"ftp://me:{PASSWORD}@host"),
        ("api_version", PASSWORD),
        ("socket_options", [[PASSWORD]]),
        ("linger_ms", PASSWORD),
        ("retry_backoff_ms", -1),
        ("request_timeout_ms", True),
        ("receive_buffer_bytes", PASSWORD),
        ("check_crcs", PASSWORD),
        ("client_id", 5),
        ("ssl_cafile", 5),
        ("sasl_plain_password", 5),
        ("sasl_oauth_token_provider", PASSWORD),
        ("ssl_context", PASSWORD),
    ],
)
def test_a_value_that_no_client_can_use_is_named_by_its_key(key, value):
    with pytest.raises(SettingsError, match=rf"^kafka\.client\.{key} must be ") as caught:
        check_options({key: value})
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "sasl_mechanism"),
        ({"sasl_mechanism": "PLAIN", "sasl_plain_password": PASSWORD}, "sasl_plain_username"),
        ({"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "u"}, "sasl_plain_password"),
        ({"sasl_mechanism": "OAUTHBEARER"}, "sasl_oauthbearer_token_endpoint_url"),
    ],
)
def test_an_authentication_that_cannot_begin_is_named(options, key):
    with pytest.raises(SettingsError, match=rf"^kafka\.client\.{key} must be given with "):
        check_options({"security_protocol": "SASL_SSL", **options})


@pytest.mark.parametrize("key", ["ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile"])
def test_a_missing_file_is_said_at_once_and_not_waited_for(key, free_port):
    options = {"security_protocol": "SSL", key: f"/nope/{PASSWORD}"}
    connection = Connection(bootstrap=f"localhost:{free_port}", options=options)

    for ask in (
        opening("source", connection).__enter__,
        opening("sink", connection).__enter__,
        lambda: admin_options(connection),
    ):
        with pytest.raises(SettingsError, match=rf"^kafka\.client\.{key}: .*No such file") as said:
            ask()
        assert PASSWORD not in str(said.value)


@pytest.mark.parametrize("key", ["ssl_cafile", "ssl_certfile", "ssl_crlfile"])
def test_a_file_without_certificates_is_named(key, tmp_path):
    (tmp_path / "file.pem").write_text("none")
    options = {"security_protocol": "SSL", key: str(tmp_path / "file.pem")}

    with pytest.raises(SettingsError, match=rf"^kafka\.client\.{key}.*no PEM file"):
        check_files(options)


@pytest.mark.parametrize("error", [AssertionError, KeyError, TypeError, ValueError, RuntimeError])
def test_what_a_constructor_raises_names_keys_and_no_values(error):
    with (
        pytest.raises(SettingsError, match=r"kafka\.bootstrap, kafka\.client\.client_id") as caught,
        building({"client_id": PASSWORD}),
    ):
        raise error(PASSWORD)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_version_in_a_list_is_a_version():
    connection = Connection(bootstrap="b:1", options={"api_version": [3, 9]})
    options = consumer_options(connection)
    assert options["api_version"] == (3, 9)
