"""Logs tell what matters once."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from schemas.settings import LogSettings
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import admin_options
from workers.process import configure_logging


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root, client = logging.getLogger(), logging.getLogger("kafka")
    handlers, level, client_level = root.handlers[:], root.level, client.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    client.setLevel(client_level)
    structlog.reset_defaults()


def test_the_client_s_own_errors_stay_unsaid(capsys: pytest.CaptureFixture[str]) -> None:
    """It tells of each attempt to reach an absent broker, a hundred a second."""
    logging.getLogger("kafka").setLevel(logging.NOTSET)
    configure_logging(LogSettings(level="debug", format="json"))
    admin_options(Connection(bootstrap="localhost:1"))  # what a client is made with

    logging.getLogger("kafka.consumer.fetcher").error("Fetch to node 1 failed")
    logging.getLogger("workers.kafka").warning("the broker does not answer")

    said = capsys.readouterr().err
    assert "Fetch" not in said
    assert "does not answer" in said
