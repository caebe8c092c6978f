"""Wait for a broker that is away, and say so."""

from __future__ import annotations

import logging
import time
from typing import Final

from workers.errors import BrokerUnavailableError, StoppedError
from workers.kafka.client import ShouldStop, never
from workers.kafka.kafka_python.admin.probe import broker_answers
from workers.kafka.kafka_python.options import Connection

__all__ = ["wait_for_broker"]

log = logging.getLogger(__name__)

_PROBE_S: Final = 2.0
_NAP_S: Final = 0.2
_REMIND_S: Final = 30.0


def wait_for_broker(connection: Connection, *, should_stop: ShouldStop = never) -> None:
    """Return when the broker answers.

    Warns at once, then every 30 s; says when it is there. Checks ``should_stop`` about every 2 s.

    Raises:
        BrokerUnavailableError: away for longer than ``connection.wait_timeout_s``.
        StoppedError: ``should_stop`` said so.
        SettingsError: the client cannot use an option; no broker can mend that.
    """
    connection.check()
    began = time.monotonic()
    reminded = -_REMIND_S
    while not broker_answers(connection, timeout_s=_PROBE_S):
        away_s = time.monotonic() - began
        if connection.wait_timeout_s is not None and away_s >= connection.wait_timeout_s:
            raise BrokerUnavailableError(
                f"No Kafka broker answers at {connection.bootstrap} (tried for {away_s:.0f} s). "
                "Start it (vigie broker start) or correct kafka.bootstrap."
            )
        if should_stop():
            raise StoppedError(f"Stopped while waiting for the broker at {connection.bootstrap}.")
        if away_s - reminded >= _REMIND_S:
            reminded = away_s
            log.warning(
                "no broker answers at %s; waiting for it (start it, or correct kafka.bootstrap)",
                connection.bootstrap,
            )
        time.sleep(_NAP_S)
    if reminded >= 0:
        log.info("the broker at %s answers", connection.bootstrap)
