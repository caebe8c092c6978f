"""What the hooks do to the client of a worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.hooks.switches import Switches
from tests.chaos.hooks.wrapping import _wrap_client


class ProduceRequest(SimpleNamespace):
    """Known by its name."""


OUTPUT = ProduceRequest(transactional_id="chaos.main.0")


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[Switches]:
    opened = Switches(str(tmp_path / "switches"))
    yield opened
    opened.close()


@pytest.fixture
def happened(switches: Switches, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a hooked client sent, and what signals it sent itself, in order."""
    happened: list[Any] = []

    class Client:
        def send(self, node_id: int, request: Any) -> None:
            happened.append(request)

    _wrap_client(Client, switches)
    monkeypatch.setattr(os, "kill", lambda pid, number: happened.append((pid, number)))
    switches.set("stops_in_send", 1.0)
    for request in (ProduceRequest(transactional_id=None), OUTPUT, OUTPUT):
        Client().send(0, request)
    return happened


def test_a_worker_stops_itself_once_and_behind_a_request_with_outputs(happened, switches):
    assert happened[1:] == [OUTPUT, (os.getpid(), signal.SIGSTOP), OUTPUT]
    assert switches.get("stopped_pid") == os.getpid()
