"""Secrets among foreign options: never shown.

Options of the Kafka client are passed through unknown, and a mistyped `sasl_plain_pasword` holds a
password too. So every text is taken for a secret unless its key is known to hold none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretBytes, SecretStr

_HARMLESS_KEYS = frozenset(
    {
        "api_version", "client_dns_lookup", "client_id", "client_rack", "compression_type",
        "group_instance_id", "sasl_kerberos_domain_name", "sasl_kerberos_service_name",
        "sasl_mechanism", "security_protocol", "ssl_cafile", "ssl_certfile", "ssl_ciphers",
        "ssl_crlfile", "ssl_keyfile",
    }
)  # fmt: skip
SECRET_KEY = re.compile(
    r"pas|pwd|secret|token|credential|jaas|private.?key|api.?key|bearer",
    re.IGNORECASE,
)


def is_secret_key(key: str) -> bool:
    """Whether an option of this name holds a secret, such as `sasl_plain_password`.

    Then even what reads as a number is text, and concealed.
    """
    return SECRET_KEY.search(key) is not None


def concealed(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with all but the harmless wrapped, so that it prints as asterisks.

    Numbers and booleans stay readable, unless the key is that of a secret.
    """
    return {key: _conceal(value, key) for key, value in options.items()}


def _conceal(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        # What is below an entry goes by both names: harmless ones below do not make it so.
        return {name: _conceal(inner, f"{key}.{name}") for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_conceal(inner, key) for inner in value]
    if key in _HARMLESS_KEYS:
        return value
    if isinstance(value, bytes):
        return SecretBytes(value)
    if isinstance(value, str) or (is_secret_key(key) and isinstance(value, int | float)):
        return SecretStr(str(value))
    return value


def revealed(value: Any) -> Any:
    """The value, or the options, with every secret in the clear."""
    if isinstance(value, SecretStr | SecretBytes):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {key: revealed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [revealed(inner) for inner in value]
    return value
