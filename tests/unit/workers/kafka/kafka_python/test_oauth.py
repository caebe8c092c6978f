"""Tokens: fetched when needed, kept while good, and refused with a reason that shows no secret."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import errors

from tests.support.clock import FakeClock
from tests.support.http_answers import answering, dripping
from tests.support.identity_provider import IdentityProvider, identity_provider
from workers.errors import BrokerUnavailableError, SettingsError
from workers.kafka.client import Connection
from workers.kafka.kafka_python.access import Access
from workers.kafka.kafka_python.errors import asking, rejection
from workers.kafka.kafka_python.oauth import TokenProvider
from workers.kafka.kafka_python.options import consumer_options

# Colon and percent sign have to be encoded before they go into the header.
CLIENT, SECRET = "vigie:run", "s3cret%of:the+client"


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider({CLIENT: SECRET}) as found:
        yield found


def options(url: str, **others: str) -> dict[str, str]:
    return {
        "sasl_oauthbearer_token_endpoint_url": url,
        "sasl_oauthbearer_client_id": CLIENT,
        "sasl_oauthbearer_client_secret": SECRET,
        **others,
    }


def test_a_token_serves_until_a_fifth_of_its_life_is_left(provider: IdentityProvider) -> None:
    clock = FakeClock()
    tokens = TokenProvider(
        options(provider.url, sasl_oauthbearer_scope="kafka read"), monotonic_s=clock
    )
    before = provider.given
    first = tokens.token()
    clock.advance(0.79 * provider.lifetime_s)
    assert tokens.token() == first
    assert provider.given - before == 1
    clock.advance(0.02 * provider.lifetime_s)
    tokens.token()
    assert provider.given - before == 2
    assert provider.scopes == "kafka read"


def test_a_client_that_is_not_known_is_a_wrong_setting(provider: IdentityProvider) -> None:
    wrong = options(provider.url, sasl_oauthbearer_client_secret="wrong-secret")
    with pytest.raises(SettingsError, match=r"status 401.*client_secret") as raised:
        TokenProvider(wrong).token()
    assert "wrong-secret" not in str(raised.value)


def test_a_provider_that_is_away_may_come_back(free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}/token?key=hidden"
    with pytest.raises(BrokerUnavailableError, match="does not answer") as raised:
        TokenProvider(options(url)).token()
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    ["http://login.example/token", "https://me:pw@login.example/t", "login.example", "https:///t"],
)
def test_the_secret_goes_to_no_address_without_tls(url: str) -> None:
    given = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", **options(url)}
    with pytest.raises(SettingsError, match="must be https") as raised:
        consumer_options(Connection(bootstrap="b:1", options=given))
    assert "pw" not in str(raised.value)


@pytest.mark.parametrize("missing", ["client_id", "client_secret", "token_endpoint_url"])
def test_what_a_token_needs_is_named(missing: str) -> None:
    given = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
    given |= options("https://login.example/token")
    del given[f"sasl_oauthbearer_{missing}"]
    with pytest.raises(SettingsError, match=f"sasl_oauthbearer_{missing} must be given"):
        consumer_options(Connection(bootstrap="b:1", options=given))


ACCESS = Access.reading(Connection(bootstrap="b:1", options={}))


def test_kafka_python_takes_a_refusal_for_its_own_and_it_ends_the_run(
    provider: IdentityProvider,
) -> None:
    wrong = options(provider.url, sasl_oauthbearer_client_secret="wrong-secret")
    with pytest.raises(errors.SaslAuthenticationFailedError) as raised:
        TokenProvider(wrong).token()
    found = rejection(raised.value, ACCESS)
    assert type(found) is SettingsError
    assert str(found) == str(raised.value)
    assert str(found).startswith("The provider of tokens at ")


def test_kafka_python_tries_again_where_there_is_no_token_and_the_error_says_whose_fault_it_is(
    free_port: int,
) -> None:
    tokens = TokenProvider(options(f"http://127.0.0.1:{free_port}/token"))
    with pytest.raises(errors.RetriableError) as raised:
        tokens.token()
    assert rejection(raised.value, ACCESS) is None
    with (
        pytest.raises(BrokerUnavailableError, match=r"^The provider of tokens at "),
        asking("opening a consumer", ACCESS),
    ):
        raise raised.value


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, SettingsError), (401, SettingsError), (403, SettingsError)]
    + [(status, BrokerUnavailableError) for status in (302, 404, 408, 425, 429, 500, 503)],
)
def test_only_what_says_that_we_are_refused_is_a_wrong_setting(
    status: int, error: type[Exception]
) -> None:
    with answering(status, b"{}") as url, pytest.raises(error, match=f"status {status}"):
        TokenProvider(options(url)).token()


@pytest.mark.parametrize("token", [b"null", b'""', b"{}", b"7"])
def test_what_is_no_text_is_no_token(token: bytes) -> None:
    with (
        answering(200, b'{"access_token": ' + token + b"}") as url,
        pytest.raises(BrokerUnavailableError, match="and no token"),
    ):
        TokenProvider(options(url)).token()


def test_an_answer_that_comes_drop_by_drop_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.kafka.kafka_python.oauth._TIMEOUT_S", 0.5)
    with dripping(every_s=0.1) as url:
        began_s = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match="does not answer"):
            TokenProvider(options(url)).token()
        assert time.monotonic() - began_s < 3.0


def test_a_file_of_authorities_that_is_none_is_a_wrong_setting(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no PEM")
    given = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
    given |= options("https://login.example/token", sasl_oauthbearer_cafile=str(path))
    with pytest.raises(SettingsError, match="sasl_oauthbearer_cafile: no PEM file"):
        consumer_options(Connection(bootstrap="b:1", options=given))
