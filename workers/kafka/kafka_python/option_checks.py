"""Whether kafka-python can use the values of the options, asked before it is given them.

kafka-python takes nearly any value, finds out on its IO thread while it connects, logs that, and
tries again for ever: a wrong value looks like a broker that is away. So each value is checked here.
What an error says is the key and what it may be; never the value, which may be a secret.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from kafka.net.sasl.oauth import AbstractTokenProvider

from workers.errors import SettingsError
from workers.kafka.kafka_python.codecs import missing_packages
from workers.kafka.kafka_python.oauth import check_oauth

_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS: Final = (
    "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI", "AWS_MSK_IAM",
)  # fmt: skip
_LOOKUPS: Final = ("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only")
_COMPRESSORS: Final = tuple(name for name in KafkaProducer._COMPRESSORS if name)  # noqa: SLF001
_NEEDS_PACKAGE: Final = {"GSSAPI": "gssapi", "AWS_MSK_IAM": "botocore"}
_USER: Final = ("sasl_plain_username", "sasl_plain_password")
_NEEDS_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "PLAIN": _USER,
    "SCRAM-SHA-256": _USER,
    "SCRAM-SHA-512": _USER,
}
_PROXIES: Final = ("http", "socks5", "socks5h")
_FILES: Final = (
    "ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile", "sasl_oauthbearer_cafile",
)  # fmt: skip


def check_values(options: Mapping[str, Any]) -> None:
    """Reject a value that no client can use.

    Raises:
        SettingsError: names the key and what it may be.
    """
    for key, value in options.items():
        allowed, is_allowed = _rule(key)
        if not (is_allowed(value) or (value is None and _default(key) is None)):
            raise SettingsError(f"kafka.client.{key} must be {allowed}.")
    protocol = options.get("security_protocol", "PLAINTEXT")
    if protocol.startswith("SASL"):
        _check_sasl(options, protocol)
    compression = options.get("compression_type")
    if package := missing_packages().get(compression or ""):
        raise SettingsError(
            f"kafka.client.compression_type: {compression} needs the package {package}, which is "
            f"not installed: pip install {package}, or choose another."
        )


def check_files(options: Mapping[str, Any]) -> None:
    """Reject files of certificates and keys that cannot be read on this machine.

    Raises:
        SettingsError: names the key.
    """
    for key in _FILES:
        if path := options.get(key):
            try:
                with Path(path).open("rb"):
                    pass
            except OSError as error:
                raise SettingsError(
                    f"kafka.client.{key}: the file cannot be read ({error.strerror})."
                ) from None
    if options.get("ssl_context") is None and "SSL" in options.get("security_protocol", ""):
        _check_certificates(options)


@contextmanager
def building(options: Mapping[str, Any]) -> Iterator[None]:
    """Map what the constructor of a client raises for values that passed the checks.

    Raises:
        SettingsError: names the options that were given.
    """
    try:
        yield
    except KafkaError:
        raise
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        keys = ", ".join(f"kafka.client.{key}" for key in sorted(options))
        raise SettingsError(
            f"kafka-python cannot use these settings ({type(error).__name__}): check "
            f"kafka.bootstrap{', ' if keys else ''}{keys}."
        ) from None  # its text shows values


def _rule(key: str) -> tuple[str, Callable[[Any], bool]]:
    """What an option may be, in words and as a question."""
    if (rule := _RULES.get(key)) is not None:
        return rule
    default = _default(key)
    if isinstance(default, bool):
        return "true or false", lambda value: isinstance(value, bool)
    if isinstance(default, int | float) or key.endswith("_bytes"):
        return "a number that is not below 0", _is_number
    return "a text", lambda value: isinstance(value, str)


def _default(key: str) -> Any:
    return {**KafkaProducer.DEFAULT_CONFIG, **KafkaConsumer.DEFAULT_CONFIG}.get(key)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_version(value: Any) -> bool:
    if isinstance(value, str):
        return value == "auto" or value.replace(".", "").isdecimal()
    return isinstance(value, list | tuple) and all(isinstance(part, int) for part in value)


def _is_proxy(value: Any) -> bool:
    return isinstance(value, str) and value.partition("://")[0] in _PROXIES and "://" in value


def _are_socket_options(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(one, list | tuple) and len(one) == 3 and all(isinstance(n, int) for n in one)  # noqa: PLR2004
        for one in value
    )


def _one_of(choices: tuple[str, ...]) -> tuple[str, Callable[[Any], bool]]:
    return f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices


_PROXY: Final = (f"a URL that begins with {' or '.join(_PROXIES)}", _is_proxy)
_RULES: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "security_protocol": _one_of(_PROTOCOLS),
    "sasl_mechanism": _one_of(_MECHANISMS),
    "client_dns_lookup": _one_of(_LOOKUPS),
    "compression_type": _one_of(_COMPRESSORS),
    "api_version": ("a version, such as [3, 9]", _is_version),
    "proxy_url": _PROXY,
    "socks5_proxy": _PROXY,
    "socket_options": ("a list of [level, option, value]", _are_socket_options),
    "ssl_context": ("an ssl.SSLContext", lambda value: isinstance(value, ssl.SSLContext)),
    "sasl_oauth_token_provider": (
        "an AbstractTokenProvider of kafka-python, which no settings file can hold",
        lambda value: isinstance(value, AbstractTokenProvider),
    ),
}


def _check_sasl(options: Mapping[str, Any], protocol: str) -> None:
    """Reject what an authentication cannot begin with."""
    mechanism = options.get("sasl_mechanism")
    if mechanism is None:
        raise SettingsError(
            f"kafka.client.sasl_mechanism must be given with {protocol}: one of "
            f"{', '.join(_MECHANISMS)}."
        )
    if mechanism == "OAUTHBEARER" and options.get("sasl_oauth_token_provider") is None:
        check_oauth(options)
    for key in _NEEDS_OPTIONS.get(mechanism, ()):
        if options.get(key) is None:
            raise SettingsError(f"kafka.client.{key} must be given with {mechanism}.")
    package = _NEEDS_PACKAGE.get(mechanism)
    if package is not None and find_spec(package) is None:
        raise SettingsError(
            f"kafka.client.sasl_mechanism: {mechanism} needs the package {package}: install it."
        )
    if mechanism == "AWS_MSK_IAM" and protocol != "SASL_SSL":
        raise SettingsError("kafka.client.security_protocol must be SASL_SSL with AWS_MSK_IAM.")


def _check_certificates(options: Mapping[str, Any]) -> None:
    """Load what the client will load when it connects."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificate = options.get("ssl_certfile")
    try:
        key = "ssl_cafile"
        if options.get(key):
            context.load_verify_locations(options[key])
        key = "ssl_certfile"
        if certificate:
            # Without a password OpenSSL would ask the terminal for one.
            password = options.get("ssl_password") or ""
            context.load_cert_chain(certificate, options.get("ssl_keyfile"), password)
        key = "ssl_crlfile"
        if options.get(key):
            context.load_verify_locations(options[key])
    except (OSError, ValueError):
        also = ", ssl_keyfile and ssl_password" if key == "ssl_certfile" else ""
        raise SettingsError(f"kafka.client.{key}{also}: no PEM file that can be used.") from None
