"""The demo's gateway where it fails, and what it is started with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from schemas.settings import Settings, load_settings
from tests.support.demo_records import make_ledger
from workers.broker.guarded import guarded
from workers.demo.gateway import DemoGateway
from workers.demo.receiver import Receiver
from workers.demo.serve_process import ServeProcess, serve_settings

RECEIVER = Receiver("http://127.0.0.1:1/webhook")


def told_by(gateway: DemoGateway) -> str:
    """Why there is none; the account balances all the same."""
    gateway.start()
    assert gateway.settled.wait(30)
    told = gateway.settle(make_ledger(), within_s=0)
    gateway.stop()
    assert not gateway.is_alive()
    assert told.balanced
    assert (told.page, told.webhooks, gateway.page) == (None, None, "")
    return told.problem


def test_one_that_ends_at_once_is_tried_again_then_given_up():
    started: list[int] = []

    @contextmanager
    def ends() -> Iterator[ServeProcess]:
        process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
        process.wait()
        started.append(process.pid)
        yield ServeProcess(url="http://127.0.0.1:1", token="t", process=process)

    assert told_by(DemoGateway(ends, RECEIVER)) == "vigie serve ended at once"
    assert len(started) == 2


def test_one_that_cannot_be_started_is_told_of():
    def fails() -> NoReturn:
        raise OSError("no room")

    assert told_by(DemoGateway(fails, RECEIVER)) == "no room"


def test_a_stop_before_it_is_ready_does_not_wait_for_it():
    @contextmanager
    def never_ready() -> Iterator[ServeProcess]:
        waiting = "import signal; signal.pause()"
        with guarded([sys.executable, "-I", "-S", "-c", waiting]) as process:
            yield ServeProcess(url="http://127.0.0.1:1", token="t", process=process)

    gateway = DemoGateway(never_ready, RECEIVER)
    gateway.start()
    gateway.stop()

    assert not gateway.is_alive()
    assert gateway.settled.is_set()


def test_its_settings_are_read_as_they_were_meant(tmp_path: Path):
    ours = Settings.model_validate(
        {
            "kafka": {"bootstrap": "localhost:1234", "group": "vigie-demo"},
            "model": {"path": tmp_path / 'a "model"'},
            "log": {"level": "warning", "format": "json"},
        }
    )
    path = tmp_path / "serve.toml"
    path.write_text(
        serve_settings(ours, database="sqlite:///x.db", port=4321, pipeline="http://127.0.0.1:5")
    )

    read = load_settings(path, environ={})

    assert (read.kafka, read.model, read.log) == (ours.kafka, ours.model, ours.log)
    gateway = read.gateway
    assert gateway.database.get_secret_value() == "sqlite:///x.db"
    assert (gateway.host, gateway.port, gateway.url) == ("127.0.0.1", 4321, "http://127.0.0.1:4321")
    assert (gateway.live, gateway.pipeline) == ("on", "http://127.0.0.1:5")
    assert gateway.allow_targets == ("127.0.0.0/8",)
