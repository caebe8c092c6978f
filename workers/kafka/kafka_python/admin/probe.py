"""Does a broker answer? And wait for one that does not."""

from __future__ import annotations

import logging
import socket
import time
from typing import Final

from workers.errors import BrokerUnavailableError, StoppedError
from workers.kafka.client import Connection, ShouldStop, never
from workers.kafka.kafka_python.greeting import greet
from workers.kafka.kafka_python.option_checks import check_files

log = logging.getLogger(__name__)

_PROBE_S: Final = 2.0
_NAP_S: Final = 0.2
_REMIND_S: Final = 30.0


def broker_answers(connection: Connection, *, timeout_s: float, brokers: int = 1) -> bool:
    """See `workers.kafka.admin.Admin.answers`."""
    return _silence(connection, timeout_s=timeout_s, brokers=brokers) is None


def wait_for_broker(connection: Connection, *, should_stop: ShouldStop = never) -> None:
    """See `workers.kafka.admin.Admin.wait_for_broker`."""
    check_files(connection.options)  # no broker can fix that
    began = time.monotonic()
    reminded = -_REMIND_S
    while (why := _silence(connection, timeout_s=_PROBE_S)) is not None:
        away_s = time.monotonic() - began
        if connection.wait_timeout_s is not None and away_s >= connection.wait_timeout_s:
            raise BrokerUnavailableError(
                why
                or f"No Kafka broker answers at {connection.bootstrap} (tried for {away_s:.0f} s). "
                "Start it (vigie broker start) or correct kafka.bootstrap."
            )
        if should_stop():
            raise StoppedError(f"Stopped while waiting for the broker at {connection.bootstrap}.")
        if away_s - reminded >= _REMIND_S:
            reminded = away_s
            log.warning(
                "no broker answers at %s; waiting for it (%s)",
                connection.bootstrap,
                why or "start it, or correct kafka.bootstrap",
            )
        time.sleep(_NAP_S)
    if reminded >= 0:
        log.info("the broker at %s answers", connection.bootstrap)


def _silence(connection: Connection, *, timeout_s: float, brokers: int = 1) -> str | None:
    """None if so many brokers are up; else why not, or nothing if no reason is known."""
    if not _listens(connection, timeout_s):
        return ""
    try:
        return None if greet(connection, timeout_s=timeout_s) >= brokers else ""
    except BrokerUnavailableError as error:
        return str(error)


def _listens(connection: Connection, timeout_s: float) -> bool:
    """False if no server takes a connection: a client would need seconds to find that out."""
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
