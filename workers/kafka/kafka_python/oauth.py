"""Tokens for OAUTHBEARER: the client credentials grant of OAuth 2 (RFC 6749, 4.4).

The options have the names of Kafka's other clients (`sasl.oauthbearer.*`), with underscores. A
token serves all connections of a client until a fifth of its life is left; then the next one, or
the renewal that the broker asks for before the old token expires (KIP-368), fetches another.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

import httpx2
from kafka import errors
from kafka.net.sasl.oauth import AbstractTokenProvider

from workers.errors import BrokerUnavailableError, SettingsError

__all__ = ["OAUTH_OPTIONS", "NoTokenError", "TokenProvider", "TokenRefusedError", "check_oauth"]

_PREFIX: Final = "sasl_oauthbearer_"
_REQUIRED: Final = ("token_endpoint_url", "client_id", "client_secret")
_OPTIONAL: Final = ("scope", "cafile")
OAUTH_OPTIONS: Final = tuple(_PREFIX + name for name in (*_REQUIRED, *_OPTIONAL))
"""Ours, beside those of kafka-python: it takes an object that gives tokens."""
_LIFE_LEFT: Final = 0.2
_LIFE_S: Final = 300.0  # of a token whose provider does not say
_TIMEOUT_S: Final = 4.0  # heartbeats wait meanwhile
_REFUSED: Final = frozenset({400, 401, 403})  # of others, such as 429, another try may help
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def check_oauth(options: Mapping[str, Any]) -> None:
    """Reject options that no token can be had with.

    Raises:
        SettingsError: names the option.
    """
    for name in _REQUIRED:
        if not options.get(_PREFIX + name):
            raise SettingsError(f"kafka.client.{_PREFIX}{name} must be given with OAUTHBEARER.")
    url = urlsplit(str(options[f"{_PREFIX}token_endpoint_url"]))
    is_near = url.scheme == "http" and url.hostname in _LOOPBACK
    if not (url.hostname and (url.scheme == "https" or is_near)) or url.username:
        raise SettingsError(
            f"kafka.client.{_PREFIX}token_endpoint_url must be https://host/path without a user: "
            "the secret goes there."
        )


class NoTokenError(BrokerUnavailableError, errors.KafkaConnectionError):  # type: ignore[misc]
    """The provider of tokens does not answer, or gives no token: it can be asked again.

    Also an error of kafka-python, whose IO thread asks: it knows what to do after its own only.
    """

    __str__ = Exception.__str__  # kafka-python's puts the name before the message


class TokenRefusedError(SettingsError, errors.SaslAuthenticationFailedError):  # type: ignore[misc]
    """The provider of tokens rejects us; also an error of kafka-python, as above."""

    __str__ = Exception.__str__


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Gives a token that is good for a while, from any thread."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of checked options; fetches nothing yet.

        Raises:
            SettingsError: the file of authorities is none.
        """
        self._url = str(options[f"{_PREFIX}token_endpoint_url"])
        # The two parts are form-encoded first (RFC 6749, 2.3.1).
        self._auth = (
            quote_plus(str(options[f"{_PREFIX}client_id"])),
            quote_plus(str(options[f"{_PREFIX}client_secret"])),
        )
        self._form = {"grant_type": "client_credentials"}
        if scope := options.get(f"{_PREFIX}scope"):
            self._form["scope"] = str(scope)
        try:
            self._trusted = ssl.create_default_context(cafile=options.get(f"{_PREFIX}cafile"))
        except OSError:  # OpenSSL's errors are such
            raise SettingsError(
                f"kafka.client.{_PREFIX}cafile: no PEM file that can be used."
            ) from None
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._token, self._until_s = "", float("-inf")

    def token(self) -> str:
        """The token.

        Raises:
            TokenRefusedError: the provider of tokens rejects us.
            NoTokenError: it does not answer in time, or gives no token.
        """
        with self._lock:
            if self._monotonic_s() >= self._until_s:
                self._token, life_s = self._fetch()
                self._until_s = self._monotonic_s() + life_s * (1 - _LIFE_LEFT)
            return self._token

    def _fetch(self) -> tuple[str, float]:
        where = f"The provider of tokens at {self._url.partition('?')[0]}"
        try:
            with httpx2.Client(verify=self._trusted, timeout=_TIMEOUT_S) as client:
                answer = _within(
                    _TIMEOUT_S,
                    lambda: client.post(self._url, data=self._form, auth=self._auth),
                )
        except (httpx2.HTTPError, OSError) as error:
            raise NoTokenError(
                f"{where} does not answer ({type(error).__name__}): check "
                f"kafka.client.{_PREFIX}token_endpoint_url, and {_PREFIX}cafile if its authority "
                "is your own."
            ) from None
        if answer.status_code in _REFUSED:
            raise TokenRefusedError(
                f"{where} gives {self._auth[0]} no token (status {answer.status_code}): check "
                f"kafka.client.{_PREFIX}client_id, {_PREFIX}client_secret and {_PREFIX}scope."
            )
        try:
            document = answer.raise_for_status().json()
            token, life_s = document["access_token"], float(document.get("expires_in") or _LIFE_S)
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            token, life_s = None, 0.0
        if not isinstance(token, str) or not token:
            raise NoTokenError(f"{where} answered with status {answer.status_code} and no token.")
        return token, life_s


def _within(seconds: float, ask: Callable[[], httpx2.Response]) -> httpx2.Response:
    """The whole answer, in that time: the limit of an HTTP client is one for each of its reads.

    Raises:
        TimeoutError: it takes longer; whoever closes the client then ends what is under way.
    """
    answer: Future[httpx2.Response] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            answer.set_exception(error)

    threading.Thread(target=run, name="vigie-token", daemon=True).start()
    return answer.result(seconds)
