"""The embedded broker: one owner, one folder, one port; nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.broker import QUICK_START, produce, read_all
from tests.support.wait import wait_until
from workers.broker.embedded import BrokerConfig
from workers.errors import ProvisioningError
from workers.kafka.admin import TopicSpec
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of

pytestmark = pytest.mark.kafka

VIGIE = (sys.executable, "-m", "workers.cli.main")


def processes_of(data: Path) -> list[str]:
    """Command lines of what still runs on a data folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if str(data) in line:
            found.append(line)
    return found


def test_a_broker_keeps_its_records_and_its_address_over_a_restart(tmp_path):
    config = BrokerConfig(data=tmp_path / "data", jvm_options=QUICK_START)
    with config.open() as broker:
        connection = Connection(bootstrap=broker.bootstrap, wait_timeout_s=10)
        admin_of(connection).create_topics([TopicSpec(name="kept")])
        produce(connection, "kept", [{"value": b"%d" % n} for n in range(5)])

        with pytest.raises(ProvisioningError, match=r"running on the data folder .* already"):
            config.start()

        broker.stop()
        assert not broker.is_running()
        broker.start()
        broker.kill()
        broker.start()
        assert [record.value for record in read_all(connection, "kept")] == [
            b"%d" % n for n in range(5)
        ]

    assert processes_of(tmp_path) == []
    assert (tmp_path / "data" / "server.properties").exists()


def test_a_busy_port_is_named():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]

        with pytest.raises(ProvisioningError, match=rf"Port {port} is in use.*--port"):
            BrokerConfig(port=port).start()


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")

    with pytest.raises(ProvisioningError, match=r"Cannot use the data folder .*--data"):
        BrokerConfig(data=file / "data").start()


def test_a_broker_that_does_not_come_up_shows_its_log(tmp_path):
    config = BrokerConfig(data=tmp_path, properties={"log.segment.bytes": "not a number"})

    with pytest.raises(ProvisioningError, match=r"log.segment.bytes"):
        config.start()

    assert processes_of(tmp_path) == []


OWNER = """
import sys, time
from workers.broker.embedded import BrokerConfig
broker = BrokerConfig(jvm_options=('-XX:TieredStopAtLevel=1',)).start()
print(broker.pid, broker.data, flush=True)
sys.stdin.read()
"""


def test_a_broker_dies_with_its_owner_even_by_sigkill():
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid, data = owner.stdout.readline().split()
        assert psutil.pid_exists(int(pid))

        owner.kill()
        owner.wait()

        wait_until(lambda: not processes_of(Path(data)), within=25, what="the broker's end")
        wait_until(lambda: not Path(data).exists(), within=5, what="the folder's removal")


@pytest.fixture
def vigie(tmp_path):
    """Run a vigie command with a state folder of this test's own."""
    environment = os.environ | {"VIGIE_STATE_DIR": str(tmp_path / "state")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*VIGIE, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
            check=False,
        )

    yield run
    run("broker", "stop")


def test_the_command_starts_one_broker_and_stops_it(vigie):
    first = vigie("broker", "start", "--json")
    assert first.returncode == 0, first.stderr
    known = json.loads(first.stdout)

    second = vigie("broker", "start")
    assert second.returncode == 0
    assert "running already" in second.stderr
    assert second.stdout.strip() == known["bootstrap"]

    other = vigie("broker", "start", "--port", "1")
    assert other.returncode == 1
    assert "stop it first" in other.stderr

    status = vigie("broker", "status", "--json")
    assert status.returncode == 0
    assert json.loads(status.stdout)["answers"] is True

    stopped = vigie("broker", "stop")
    assert stopped.returncode == 0
    assert not psutil.pid_exists(known["pid"])
    assert not Path(known["data"]).exists()
    assert vigie("broker", "status").returncode == 3
    assert "No broker is running" in vigie("broker", "stop").stderr


def test_with_parent_the_broker_ends_with_its_caller(tmp_path):
    script = f"{' '.join(VIGIE)} broker start --with-parent --json; read -r line"
    with subprocess.Popen(
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"VIGIE_STATE_DIR": str(tmp_path)},
    ) as caller:
        assert caller.stdout is not None
        lines = iter(caller.stdout.readline, "}\n")
        known = json.loads("".join(lines) + "}")
        connection = Connection(bootstrap=known["bootstrap"])
        assert admin_of(connection).answers(timeout_s=5)

        caller.send_signal(signal.SIGKILL)
        caller.wait()

        data = Path(known["data"])
        wait_until(lambda: not processes_of(data), within=25, what="the broker's end")
        wait_until(lambda: not data.exists(), within=5, what="the folder's removal")


def test_in_the_foreground_it_runs_until_sigterm(tmp_path):
    with subprocess.Popen(
        [*VIGIE, "broker", "run", "--data", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as command:
        assert command.stdout is not None
        bootstrap = command.stdout.readline().strip()
        assert admin_of(Connection(bootstrap=bootstrap)).answers(timeout_s=5)

        command.terminate()

        assert command.wait(timeout=30) == 0
    assert processes_of(tmp_path) == []
