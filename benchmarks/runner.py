"""A `vigie run` as a process of its own, its log, and the means to kill parts of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

_ROOT = Path(__file__).resolve().parents[1]
_PID = re.compile(r"pid=(\d+)")
_DRAIN_S = 60.0
_READ_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Event:
    """A line of the log.

    Attributes:
        at_s: when it was written, by the wall clock of its process.
        pid: of the worker that wrote it; None for the driver.
        name: the event.
        values: what else it says.
    """

    at_s: float
    pid: int | None
    name: str
    values: Mapping[str, Any]


class Runner:
    """One `vigie run` after another, under the same settings; made by `running`."""

    def __init__(self, assignments: Mapping[str, Any], folder: Path) -> None:
        self.events: list[Event] = []
        self.tail: list[str] = []
        self._folder = folder
        self._assignments = assignments
        self._driver: subprocess.Popen[str] | None = None
        self._family: dict[tuple[int, float], psutil.Process] = {}

    def start(self) -> None:
        """Start a driver."""
        command = [sys.executable, "-m", "workers.cli.main", "run"]
        for name, value in self._assignments.items():
            command += ["--set", f"{name}={value}"]
        self._driver = subprocess.Popen(
            command,
            env={
                **os.environ,
                "HOME": str(self._folder),
                "PYTHONPATH": str(_ROOT),
                "RAY_DEDUP_LOGS": "0",  # two workers say the same, and both count
            },
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, args=(self._driver,), daemon=True).start()

    def check(self) -> None:
        """Raise if the driver has ended by itself."""
        if self._driver is not None and self._driver.poll() is not None:
            told = "\n".join(self.tail[-20:])
            raise RuntimeError(f"vigie run ended with {self._driver.returncode}:\n{told}")

    def last(self, name: str, *, since_s: float = 0.0, **values: Any) -> Event | None:
        """The latest event of a name with these values, not before a moment."""
        found = self.all(name, since_s=since_s, **values)
        return found[-1] if found else None

    def all(self, name: str, *, since_s: float = 0.0, **values: Any) -> list[Event]:
        """All of them, in the order in which they were read."""
        return [
            event
            for event in self.events
            if event.name == name
            and event.at_s >= since_s
            and all(event.values.get(key) == value for key, value in values.items())
        ]

    def pids(self, kind: str) -> list[int]:
        """Of the actors of a kind that live, such as IngestActor; Ray names processes so."""
        assert self._driver is not None
        found = []
        for process in psutil.Process(self._driver.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if f"ray::{kind}" in " ".join(process.cmdline()):
                    found.append(process.pid)
        return found

    def kill_worker(self, slot: int) -> None:
        """End the process of an ingest worker by SIGKILL."""
        event = self.last("rebalanced", slot=slot)
        assert event is not None
        assert event.pid is not None
        psutil.Process(event.pid).kill()

    def kill_driver(self) -> None:
        """End the driver by SIGKILL; what it started has to notice by itself."""
        assert self._driver is not None
        self._note_family()
        self._driver.kill()
        self._driver.wait()

    def close(self) -> None:
        """Drain the last run; end whatever is left of any."""
        if self._driver is not None and self._driver.poll() is None:
            self._note_family()
            self._driver.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._driver.wait(_DRAIN_S)
            self._driver.kill()
            self._driver.wait()
        _, left = psutil.wait_procs(list(self._family.values()), timeout=_READ_S)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _note_family(self) -> None:
        assert self._driver is not None
        for process in psutil.Process(self._driver.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                self._family[process.pid, process.create_time()] = process

    def _listen(self, driver: subprocess.Popen[str]) -> None:
        assert driver.stderr is not None
        for line in driver.stderr:
            self.tail = [*self.tail[-50:], line.rstrip()]
            event = _parsed(line)
            if event is not None:
                self.events.append(event)


def _parsed(line: str) -> Event | None:
    """The event of a line; Ray writes the worker before those that it passes on."""
    before, brace, text = line.partition("{")
    try:
        values = json.loads(brace + text)
        at_s = datetime.fromisoformat(values.pop("timestamp")).timestamp()
        name = values.pop("event")
    except (ValueError, KeyError):
        return None
    pid = _PID.search(before)
    return Event(at_s=at_s, pid=int(pid[1]) if pid else None, name=name, values=values)


@contextmanager
def running(assignments: Mapping[str, Any], folder: Path) -> Iterator[Runner]:
    """Start `vigie run`, and end it with the block.

    Args:
        assignments: settings by dotted name.
        folder: becomes the home of the processes.
    """
    json_log = {"log.format": "json", "log.level": "info"}
    runner = Runner({**assignments, **json_log}, folder)
    runner.start()
    try:
        yield runner
    finally:
        runner.close()
