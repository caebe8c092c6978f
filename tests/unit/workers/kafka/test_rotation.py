"""New secrets are taken when the broker takes them, once, and said without being shown."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from schemas.settings import SettingsSource
from tests.support.wait import wait_until
from workers.errors import SettingsError
from workers.kafka import rotation
from workers.kafka.client import Connection
from workers.kafka.rotation import SecretRotation

OLD, NEW = "old-secret", "new-secret"
KEY = "sasl_plain_password"


class Broker:
    """Knows one password."""

    def __init__(self) -> None:
        self.password, self.is_up = OLD, True
        self.asked = 0

    def of(self, connection: Connection) -> Broker:
        self.given = connection.options[KEY]
        return self

    def answers(self, *, timeout_s: float) -> bool:
        self.asked += 1
        if self.is_up and self.given != self.password:
            raise SettingsError("The broker does not let User:vigie in.")
        return self.is_up and timeout_s > 0


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(rotation, "admin_of", broker.of)
    return broker


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{OLD}\n")
    return path


@pytest.fixture
def source(secret: Path) -> SettingsSource:
    variable = f"VIGIE_KAFKA__CLIENT__{KEY.upper()}_FILE"
    return SettingsSource.read(environ={variable: str(secret)})


def test_a_new_secret_is_taken_once_when_the_broker_knows_it(
    broker: Broker, secret: Path, source: SettingsSource, caplog: pytest.LogCaptureFixture
) -> None:
    watched = SecretRotation(source)
    watched.look()
    assert watched.take() is None
    assert broker.asked == 0  # nothing has changed

    secret.write_text(NEW)
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            watched.look()
    assert watched.take() is None
    assert caplog.text.count("cannot be used yet") == 1

    broker.password = NEW
    with caplog.at_level(logging.DEBUG):
        watched.look()
    fresh = watched.take()
    assert fresh is not None
    assert fresh.kafka.client_options() == {KEY: NEW}
    watched.look()
    assert watched.take() is None
    assert str(secret) in caplog.text
    assert NEW not in caplog.text


def test_a_secret_that_is_away_or_a_broker_that_is_away_change_nothing(
    broker: Broker, secret: Path, source: SettingsSource
) -> None:
    watched = SecretRotation(source)
    secret.unlink()
    watched.look()
    assert watched.take() is None
    broker.password, broker.is_up = NEW, False
    secret.write_text(NEW)
    watched.look()
    assert watched.take() is None
    broker.is_up = True
    watched.look()
    assert watched.take() is not None


@pytest.mark.parametrize("text", ["", "\n"])
def test_a_file_that_is_empty_for_a_moment_is_looked_at_again(
    broker: Broker,
    secret: Path,
    source: SettingsSource,
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As it is between the truncation and the writing of `>file`: no secret, and no warning."""
    watched = SecretRotation(source)
    broker.password = NEW
    secret.write_text(text)
    watched.look()
    assert watched.take() is None
    assert broker.asked == 0
    assert not caplog.text

    secret.write_text(NEW)
    watched.look()
    fresh = watched.take()
    assert fresh is not None
    assert fresh.kafka.client_options() == {KEY: NEW}


def test_the_watch_outlives_an_error_that_nobody_expects(
    broker: Broker,
    secret: Path,
    source: SettingsSource,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(_: Connection) -> Broker:
        raise OSError("of an unknown kind")

    watched = SecretRotation(source, every_s=0.01)
    broker.password = NEW
    monkeypatch.setattr(rotation, "admin_of", fails)
    with watched.watching():
        secret.write_text(NEW)
        wait_until(lambda: "looking failed (OSError)" in caplog.text, within=10)
        monkeypatch.setattr(rotation, "admin_of", broker.of)
        assert wait_until(watched.take, within=10) is not None


def test_the_watch_looks_by_itself_and_ends_with_its_block(
    broker: Broker, secret: Path, source: SettingsSource
) -> None:
    watched = SecretRotation(source, every_s=0.01)
    broker.password = NEW
    with watched.watching():
        secret.write_text(NEW)
        assert wait_until(watched.take, within=10) is not None
    secret.write_text(OLD)
    asked = broker.asked
    assert watched.take() is None
    assert broker.asked == asked
