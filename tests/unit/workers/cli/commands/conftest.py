"""A gateway for the commands that ask one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.asked import Asked, asked
from workers.cli.gateway_options import TOKEN_VARIABLE
from workers.gateway.principals import Scope


@pytest.fixture
def gateway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Asked]:
    """A gateway; who asks is an administrator."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    with asked(tmp_path, capsys, time.time_ns) as found:
        monkeypatch.setenv(TOKEN_VARIABLE, found.token(Scope.ADMIN))
        yield found
