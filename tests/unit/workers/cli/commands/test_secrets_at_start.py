"""A secret that changes while a program starts is new to it afterwards."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.settings import SettingsSource
from workers.cli.commands.run import run
from workers.cli.commands.serve import serve
from workers.kafka import rotation


class StartsNoFurtherError(Exception):
    """The settings are read, and that is enough."""


@pytest.mark.parametrize("command", [run, serve])
def test_what_changes_after_the_settings_were_read_is_not_taken_for_known(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "password"
    secret.write_text("old-secret")
    source = SettingsSource.read(environ={"VIGIE_SMTP__PASSWORD_FILE": str(secret)})
    before = dict(source.fingerprint())
    known: list[object] = []

    class Noting(rotation.SecretRotation):
        def __init__(self, source: SettingsSource) -> None:
            super().__init__(source)
            known.append(self._known)

    def load(_: SettingsSource) -> None:
        secret.write_text("new-secret")
        raise StartsNoFurtherError

    monkeypatch.setattr(rotation, "SecretRotation", Noting)
    monkeypatch.setattr(SettingsSource, "load", load)
    with pytest.raises(StartsNoFurtherError):
        command(options=SimpleNamespace(source=lambda _: source))
    assert known == [before]
