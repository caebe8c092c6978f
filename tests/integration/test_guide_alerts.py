"""docs/guide-alerts.md: its settings are settings; its commands, in order, do what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from schemas.settings import load_settings
from tests.support.asked import whole_event
from tests.support.broker import MakeTopic, produce
from tests.support.notifications import INCIDENT
from tests.support.wait import wait_until
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.kafka.client import Connection

PAGE: Final = (Path(__file__).parents[2] / "docs" / "guide-alerts.md").read_text(encoding="utf-8")
COMMANDS: Final = [
    line
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in re.findall(r"^\$ (.+)$", block, re.MULTILINE)
]
FILES: Final = re.findall(r"```(?:toml|python)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
SETTINGS: Final = [text for name, text in FILES if name == "vigie.toml"]


def test_every_block_of_settings_is_one(tmp_path: Path) -> None:
    assert len(SETTINGS) == 4
    for text in SETTINGS:
        path = tmp_path / "vigie.toml"
        path.write_text(text)
        load_settings(path, {})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def process(folder: Path, name: str, *arguments: str) -> Iterator[Path]:
    """A process until the end of the block; the file of what it says."""
    said = folder / f"{name}.said"
    with said.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            yield said
            assert child.poll() is None, said.read_text()
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@dataclass
class Reader:
    """Somebody who does what the guide says, line by line."""

    folder: Path
    connection: Connection
    topic: str
    ports: dict[str, int]
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    stack: ExitStack
    variables: dict[str, str] = field(default_factory=lambda: {"INCIDENT": INCIDENT})
    said: dict[str, str] = field(default_factory=dict)

    def do(self, line: str) -> None:
        """One line of a block of commands."""
        for port, instead in self.ports.items():
            line = line.replace(f":{port}", f":{instead}").replace(f" {port} ", f" {instead} ")
        if line == "vigie serve":
            self.serve()
        elif line.startswith("python "):
            script, *arguments = shlex.split(line)[1:]
            self.stack.enter_context(process(self.folder, "receiver", script, *arguments))
            wait_until(lambda: is_listening(int(arguments[0])), within=20, what="the receiver")
        elif found := re.fullmatch(r"export (\w+)=\$\(cat (\w+)\)", line):
            self.monkeypatch.setenv(found[1], (self.folder / found[2]).read_text().strip())
        elif line.startswith("printf "):
            subprocess.run(line, shell=True, check=True, cwd=self.folder)
        else:
            self.vigie(line)

    def vigie(self, line: str) -> None:
        """A command, with the output where the line puts it."""
        command, _, file = line.partition(" > ")
        command, tail, _ = command.partition(" | tail -n 1")
        words = shlex.split(command)
        assert words[0] == "vigie", line
        filled = [self.value(word) for word in words[1:]]
        if filled[:2] == ["incidents", "follow"]:
            filled += ["--after", "0", "--count", "3"]
        self.capsys.readouterr()
        code = cli.main(filled)
        out, err = self.capsys.readouterr()
        assert code == ExitCode.OK, f"{line}\n{out}{err}"
        self.said[" ".join(words)] = out
        if file:
            (self.folder / file).write_text(out.splitlines()[-1] + "\n" if tail else out)

    def value(self, word: str) -> str:
        if not word.startswith("$"):
            return word
        if word == "$SILENCE":
            return next(word for word in self.said["vigie silences list"].split())
        if word == "$DELIVERY":
            return str(self.json("subscriptions", "deliveries", "desk", "--limit", "1")[0]["id"])
        return self.variables[word[1:]]

    def json(self, *words: str) -> Any:
        self.capsys.readouterr()
        assert cli.main([*words, "--json"]) == ExitCode.OK
        return json.loads(self.capsys.readouterr().out)

    def serve(self) -> None:
        said = self.stack.enter_context(
            process(self.folder, "gateway", "-m", "workers.cli.main", "serve")
        )
        url = f"http://127.0.0.1:{os.environ['VIGIE_GATEWAY__PORT']}/readyz"

        def ready() -> bool:
            try:
                return httpx2.get(url, trust_env=False).status_code == httpx2.codes.OK
            except httpx2.TransportError:
                return False

        try:
            wait_until(ready, within=45, what="the gateway")
        except AssertionError as error:
            raise AssertionError(said.read_text()) from error

    def incident(self, what: str) -> None:
        """What `vigie run` would write."""
        document = whole_event(
            what, charge=0.5, opened=time.time_ns() // 10**6 - 1000, sensor="pump-7"
        )
        records = [{"key": b"pump-7", "value": json.dumps(document).encode()}]
        produce(self.connection, self.topic, records)

    def received(self) -> list[str]:
        return (self.folder / "receiver.said").read_text().splitlines()


@pytest.fixture
def reader(
    tmp_path: Path,
    connection: Connection,
    make_topic: MakeTopic,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reader]:
    """One with an empty folder and a broker with topics."""
    incidents, root = make_topic(), str(Path(__file__).parents[2])
    variables = {
        "VIGIE_KAFKA__BOOTSTRAP": connection.bootstrap,
        "VIGIE_TOPICS__INCIDENTS": incidents,
        "VIGIE_TOPICS__VERDICTS": make_topic(**{"cleanup.policy": "compact"}),
        "VIGIE_GATEWAY__PORT": str(free_port()),
        "VIGIE_GATEWAY__UNHEALTHY_AFTER_S": "86400",  # nobody runs here
        "VIGIE_GATEWAY__LIVE": "off",
        "PYTHONPATH": root,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for name, text in reversed(FILES):  # the first vigie.toml stays
        (tmp_path / name).write_text(text)
    ports = {port: free_port() for port in ("9000", "9093", "9094")}
    with ExitStack() as stack:
        yield Reader(tmp_path, connection, incidents, ports, capsys, monkeypatch, stack)


@pytest.mark.kafka
def test_each_command_of_the_guide_does_what_it_says(reader: Reader) -> None:
    begin = COMMANDS.index("vigie incidents list")
    for line in COMMANDS[:begin]:
        reader.do(line)
    wait_until(lambda: reader.received() == ["subscription.test example-pump"], within=10)
    reader.incident("opened")
    wait_until(lambda: "incident.opened pump-7" in reader.received(), within=15)

    for line in COMMANDS[begin:]:
        reader.do(line)

    said = reader.said
    assert INCIDENT in said["vigie incidents list"]
    assert INCIDENT in said["vigie incidents list --all --since 7d --search bearing"]
    assert "me: bearing ordered" in said["vigie incidents comments $INCIDENT"]
    assert "not heeded yet" in said["vigie incidents fault $INCIDENT --note bearing worn"]
    assert len(said["vigie incidents follow"].splitlines()) == 3
    preview = said["vigie subscriptions preview --subscription chief --incident $INCIDENT"]
    assert preview.startswith("HIGH pump-7\n")
    assert 'site="Lyon", line=~"[12]"' in said["vigie silences list"]
    assert "incident.opened" in said["vigie subscriptions deliveries desk"]
    assert "204" in said["vigie subscriptions attempts desk $DELIVERY"]
    names = {one["spec"]["name"] for one in reader.json("subscriptions", "list")}
    assert names == {"desk", "night", "chief", "events", "prometheus", "on-call", "chat",
                     "archive", "operations"}  # fmt: skip
    # The old secret goes on to be taken: the receiver still has it.
    before = len(reader.received())
    reader.do("vigie subscriptions test desk")
    wait_until(lambda: len(reader.received()) > before, within=10)
    new = (reader.folder / "desk.secret.new").read_text()
    assert new.startswith("whsec_")
    assert new != (reader.folder / "desk.secret").read_text()
