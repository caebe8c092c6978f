"""Secrets among foreign options: recognised by name, never shown.

Options of the Kafka client are passed through unknown, so a secret is told by its key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretBytes, SecretStr

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|jaas|private.?key|api.?key|bearer",
    re.IGNORECASE,
)


def is_secret_key(key: str) -> bool:
    """Whether an option of this name holds a secret, such as `sasl_plain_password`."""
    return _SECRET_KEY.search(key) is not None


def concealed(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the value of every secret key wrapped so that it prints as asterisks."""
    return {key: _conceal(value, key) for key, value in options.items()}


def _conceal(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        # Under a secret key everything is secret: its name is handed down.
        return {
            name: _conceal(inner, key if is_secret_key(key) else str(name))
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_conceal(inner, key) for inner in value]
    if not is_secret_key(key) or isinstance(value, SecretStr | SecretBytes) or value is None:
        return value
    if isinstance(value, bytes):
        return SecretBytes(value)
    if isinstance(value, str | int | float):
        return SecretStr(str(value))
    return value


def revealed(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with every secret in the clear."""
    return {key: _reveal(value) for key, value in options.items()}


def _reveal(value: Any) -> Any:
    if isinstance(value, SecretStr | SecretBytes):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {key: _reveal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_reveal(inner) for inner in value]
    return value
