"""Who we are to the broker, and which right is missing when it says no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from kafka import errors

from workers.errors import SettingsError
from workers.kafka.client import Connection

_BY_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, kw_only=True)
class Access:
    """A client that asks, and what it needs for that: its errors name both.

    Attributes:
        connection: how it comes to the broker.
        topic: operation that it needs on its topics.
        group: operation that it needs on its group.
        transactional_id: of its transactions; empty without.
    """

    connection: Connection
    topic: str = "Read"
    group: str = "Read"
    transactional_id: str = ""

    @classmethod
    def reading(cls, connection: Connection) -> Self:
        """Of a consumer."""
        return cls(connection=connection)

    @classmethod
    def writing(cls, connection: Connection, *, transactional_id: str = "") -> Self:
        """Of a producer."""
        return cls(connection=connection, topic="Write", transactional_id=transactional_id)

    @classmethod
    def looking(cls, connection: Connection) -> Self:
        """Of an admin client that changes nothing."""
        return cls(connection=connection, topic="Describe", group="Describe")

    @property
    def principal(self) -> str:
        """Who we are, as far as this side knows it."""
        return principal_of(self.connection.options)

    def denial(self, error: BaseException) -> SettingsError | None:
        """The error that names the missing right, or that we are kept out; None if neither."""
        if isinstance(error, errors.SaslAuthenticationFailedError):
            return self.kept_out(error)
        if isinstance(error, errors.TopicAuthorizationFailedError):
            return self.denied(self.topic, "topic", _named(error) or "its topics")
        if isinstance(error, errors.GroupAuthorizationFailedError):
            return self.denied(self.group, "group", _named(error) or "its group")
        if isinstance(error, errors.TransactionalIdAuthorizationFailedError):
            return self.denied("Write", "transactional id", self.transactional_id or "its own")
        if isinstance(error, errors.ClusterAuthorizationFailedError):
            return SettingsError(
                f"{self.principal} lacks a right on the cluster itself: to make topics it needs "
                "Create on each of them, to write an old broker wants IdempotentWrite. vigie "
                "topics acls lists the rights that each part of Vigie needs."
            )
        return None

    def kept_out(self, error: errors.SaslAuthenticationFailedError) -> SettingsError:
        """The error of a client that the broker does not let in, in the broker's words."""
        said = str(error.args[0]).partition(": ")[2][:200] if error.args else type(error).__name__
        return SettingsError(
            f"The broker at {self.connection.bootstrap} does not let {self.principal} in ({said}): "
            "wrong password, unknown user, or a token that is expired or for others. Check "
            "kafka.client."
        )

    def denied(self, operation: str, kind: str, name: str) -> SettingsError:
        """The error about one missing right."""
        return SettingsError(
            f"{self.principal} lacks the right {operation} on the {kind} {name}: give it to this "
            "principal (vigie topics acls lists the rights that each part of Vigie needs), or "
            "correct the name in the settings."
        )


def principal_of(options: Mapping[str, Any]) -> str:
    """Who the broker takes a client with these options for, as far as this side can tell."""
    protocol = str(options.get("security_protocol", "PLAINTEXT"))
    mechanism = options.get("sasl_mechanism") if protocol.startswith("SASL") else None
    if mechanism in _BY_PASSWORD:
        return f"User:{options.get('sasl_plain_username')}"
    if mechanism == "OAUTHBEARER" and (client := options.get("sasl_oauthbearer_client_id")):
        return f"the OAuth client {client}"
    if mechanism is not None:
        return f"the principal of kafka.client ({mechanism})"
    if protocol == "SSL" and (path := options.get("ssl_certfile")):
        return f"the subject of the certificate {path} ({_subject(Path(path))})"
    return "User:ANONYMOUS"


def _subject(path: Path) -> str:
    """Whom a certificate is about."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).subject.rfc4514_string()
    except (OSError, ValueError):
        return "which cannot be read"


def _named(error: BaseException) -> str:
    """The resources that kafka-python's error names: a name, or a set of them."""
    names = error.args[0] if error.args else ""
    return names if isinstance(names, str) else ", ".join(sorted(map(str, names)))
