"""Whether the broker takes us, and if not, why: one connection, step by step.

kafka-python's clients try again for ever, whatever the reason: a wrong password, an expired
certificate and a broker that is away look alike, and a constructor says "unable to bootstrap". Here
the step that fails says why. Where the broker only hangs up, a second connection tries what it may
have expected.

Contract test: ``tests/contract/test_kafka_security.py``.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum
from typing import Any, Final, NamedTuple

from kafka import errors
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from workers.errors import SettingsError, VigieError
from workers.kafka.client import Connection
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.access import Access, principal_of
from workers.kafka.kafka_python.option_checks import building
from workers.kafka.kafka_python.options import admin_options

# OpenSSL's codes of what is wrong with the broker's certificate.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_REVOKED: Final = 23
_WRONG_HOST: Final = frozenset({62, 64})


class _Step(IntEnum):
    """How far a connection came."""

    NOWHERE = 0
    CONNECTED = 1
    """With TLS, where it is asked for."""
    GREETED = 2
    """The broker knows what we speak, and who we are."""
    ASKED = 3
    """It has answered a question."""


class _Made(NamedTuple):
    """What came of a connection."""

    error: Exception | None
    step: _Step
    brokers: int


def greet(connection: Connection, *, timeout_s: float) -> int:
    """How many brokers are up, as the first one that answers tells; 0 if none does.

    Takes at most about `timeout_s` for each address, the same again where it looks for the reason.

    Raises:
        SettingsError: no broker takes us, and why the first one does not; or our options cannot
            be used.
        BrokerUnavailableError: what gives us tokens does not answer.
    """
    options = admin_options(connection, timeout_s=timeout_s)
    first: VigieError | None = None
    for address in options["bootstrap_servers"]:
        here = replace(connection, bootstrap=address)
        made = _connect(here, {**options, "bootstrap_servers": [address]}, timeout_s)
        if made.error is None:
            return made.brokers
        why = _explained(made.error, here) or _expected(options, made, here, timeout_s)
        if why is not None and first is None:
            why.__cause__ = made.error
            first = why
    if first is not None:
        raise first
    return 0


def _explained(error: BaseException, connection: Connection) -> VigieError | None:
    """What the failed step says by itself."""
    if isinstance(error, VigieError):  # of the provider of tokens
        return error
    where = connection.bootstrap
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return Access.looking(connection).kept_out(error)
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        mechanism = connection.options.get("sasl_mechanism")
        return SettingsError(
            f"The broker at {where} does not offer kafka.client.sasl_mechanism = {mechanism} at "
            "this port: choose one that it offers, or another port."
        )
    if isinstance(error, errors.IllegalSaslStateError):
        return SettingsError(
            f"The broker at {where} asks for no user at this port: set "
            "kafka.client.security_protocol without SASL_, or take another port."
        )
    return _tls_explained(error, connection)


def _tls_explained(error: BaseException, connection: Connection) -> VigieError | None:
    cause = error.__context__ if isinstance(error.__context__, ssl.SSLError) else None
    if cause is None and error.args and isinstance(error.args[0], ssl.SSLError):
        cause = error.args[0]
    where, who = connection.bootstrap, principal_of(connection.options)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return SettingsError(
            f"The certificate of the broker at {where} is not to be trusted "
            f"({cause.verify_message.rstrip('.')}): {_fix(cause.verify_code)}"
        )
    reason = getattr(cause, "reason", None) or ""
    if "ALERT_CERTIFICATE_REQUIRED" in reason or "ALERT_HANDSHAKE_FAILURE" in reason:
        return SettingsError(
            f"The broker at {where} wants a certificate of ours: set kafka.client.ssl_certfile and "
            "ssl_keyfile, or take another port."
        )
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return SettingsError(
            f"The broker at {where} does not take {who} ({reason.replace('_', ' ').lower()}): "
            "expired, or of an authority that the broker does not know. Renew "
            "kafka.client.ssl_certfile, or have the broker trust its authority."
        )
    return None


def _fix(code: int) -> str:
    if code in {_EXPIRED, _NOT_YET_VALID}:
        return "renew it at the broker, or correct the clock of this machine."
    if code in _WRONG_HOST:
        return (
            "reach it by a name that stands in it (kafka.bootstrap, and advertised.listeners of "
            "the broker), or have it made out to this one."
        )
    if code == _REVOKED:
        return "it was revoked: renew it at the broker."
    return "name the authority that signed it, a PEM file, as kafka.client.ssl_cafile."


def _expected(
    options: Mapping[str, Any], made: _Made, connection: Connection, timeout_s: float
) -> SettingsError | None:
    """The broker hung up: what it would have taken instead."""
    if isinstance(made.error, errors.KafkaTimeoutError):
        return None  # it did not even hang up

    def instead(**others: Any) -> _Made:
        here = {**options, "bootstrap_servers": [connection.bootstrap], **others}
        return _connect(connection, here, timeout_s)

    protocol = str(options.get("security_protocol", "PLAINTEXT"))
    user, _, wire = protocol.rpartition("_")
    if wire == "PLAINTEXT" and made.step < _Step.GREETED:
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        if instead(security_protocol="SSL", ssl_context=trusting).step >= _Step.CONNECTED:
            return _mismatch(connection, "speaks TLS", "_".join(filter(None, (user, "SSL"))))
    if (
        wire == "SSL"
        and made.step < _Step.CONNECTED
        and instead(security_protocol="PLAINTEXT").step >= _Step.GREETED
    ):
        wanted = "_".join(filter(None, (user, "PLAINTEXT")))
        return _mismatch(connection, "speaks no TLS", wanted)
    if not user and made.step == _Step.GREETED:
        wanted = f"SASL_{wire}"
        asked = instead(security_protocol=wanted, sasl_mechanism="none")
        if isinstance(asked.error, errors.UnsupportedSaslMechanismError):
            return _mismatch(connection, "asks who we are", wanted)
    return None


def _mismatch(connection: Connection, found: str, wanted: str) -> SettingsError:
    return SettingsError(
        f"The broker at {connection.bootstrap} {found} at this port: set "
        f"kafka.client.security_protocol = {wanted}, or take another port."
    )


def _connect(connection: Connection, options: Mapping[str, Any], timeout_s: float) -> _Made:
    """Connect once to the one address of the options, and ask for the brokers.

    On the calling thread: there is no client whose thread could do it.
    """
    with building(connection.options):
        net = NetworkSelector(**options)
        manager = KafkaConnectionManager(net, **options)
    step, deadline = _Step.NOWHERE, Deadline.after(timeout_s)

    async def connect() -> None:
        nonlocal step
        node = manager.cluster.bootstrap_brokers()[0].node_id
        made = manager.get_connection(
            node,
            timeout_ms=timeout_s * 1000,
            pop_on_close=False,
            refresh_metadata_on_err=False,
        )
        try:
            await manager.wait_for(made.init_future, deadline.left_s() * 1000)
        finally:
            step = _Step.CONNECTED if made.parser is not None else step
        step = _Step.GREETED
        refreshed = manager.call_soon(manager.cluster.refresh_metadata, node)
        await manager.wait_for(refreshed, deadline.left_s() * 1000)
        step = _Step.ASKED

    try:
        net.run(connect)
        return _Made(None, step, len(manager.cluster.brokers()))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what keeps clients away
        return _Made(error, step, 0)
    finally:
        manager.close()
        net.close()
