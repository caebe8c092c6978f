"""Does a broker answer? One admin call, bounded in time."""

from __future__ import annotations

import socket

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from workers.kafka.kafka_python.errors import refusal
from workers.kafka.kafka_python.option_checks import building
from workers.kafka.kafka_python.options import Connection

__all__ = ["broker_answers"]


def broker_answers(connection: Connection, *, timeout_s: float) -> bool:
    """True if a broker answers a metadata request within about ``timeout_s``.

    Raises:
        SettingsError: one answers, and refuses us (authentication).
    """
    if not _listens(connection, timeout_s):
        return False
    try:
        with building(connection.options):
            admin = KafkaAdminClient(**connection.admin_options(timeout_s=timeout_s))
        try:
            admin.describe_cluster()
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        if (refused := refusal(error)) is not None:
            raise refused from error
        return False
    return True


def _listens(connection: Connection, timeout_s: float) -> bool:
    """False if nobody takes a connection: a client would need seconds to find that out."""
    if connection.options.get("proxy_url") or connection.options.get("socks5_proxy"):
        return True  # only the client knows the way
    for address in connection.bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()
        except ValueError:
            return True  # no port, or another form: the client's to judge
        except OSError:
            continue
        return True
    return False
