"""One of several addresses is enough."""

from __future__ import annotations

import pytest
from kafka import errors

from workers.errors import SettingsError
from workers.kafka.client import Connection
from workers.kafka.kafka_python import greeting

BOTH = Connection(bootstrap="refuses:1,other:2", options={})


def refusing(monkeypatch: pytest.MonkeyPatch, *refused: str) -> None:
    def connect(connection: Connection, *_: object) -> greeting._Made:
        if connection.bootstrap in refused:
            error = errors.SaslAuthenticationFailedError(f"E: {connection.bootstrap} says no")
            return greeting._Made(error, greeting._Step.CONNECTED, 0)
        return greeting._Made(None, greeting._Step.ASKED, 3)

    monkeypatch.setattr(greeting, "_connect", connect)


def test_a_broker_that_refuses_does_not_hide_the_next_that_takes_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusing(monkeypatch, "refuses:1")
    assert greeting.greet(BOTH, timeout_s=1.0) == 3


def test_if_none_takes_us_the_first_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, "refuses:1", "other:2")
    with pytest.raises(SettingsError, match="refuses:1 says no") as raised:
        greeting.greet(BOTH, timeout_s=1.0)
    assert isinstance(raised.value.__cause__, errors.SaslAuthenticationFailedError)
