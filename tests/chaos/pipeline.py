"""A real `vigie run` as a process, with all that it starts; restarted when it dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

ROOT: Final = Path(__file__).resolve().parents[2]
HOOKS: Final = Path(__file__).with_name("hooks")
_LOOK_S: Final = 0.5
_FAMILY_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one `vigie run` ended.

    Attributes:
        code: its exit code; negative is a signal's number.
        asked: whether we had killed or stopped it.
        tail: of its log.
    """

    code: int
    asked: bool
    tail: str


class Pipeline:
    """One `vigie run` after another, under the same settings.

    Call its methods on one thread. A thread of its own follows the family of processes, so that
    orphans are known once their driver is gone.
    """

    def __init__(
        self,
        assignments: Mapping[str, str],
        folder: Path,
        *,
        switches: Path | None = None,
        command: str = "run",
    ) -> None:
        """Start nothing yet.

        Args:
            assignments: settings by dotted name.
            folder: for logs; becomes the home of the processes.
            switches: the file that `tests.chaos.hooks` look at; None runs without them.
            command: of `vigie`: "run" or "repartition".
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.endings: list[Ending] = []
        self.starts = 0
        self._assignments = dict(assignments)
        self._switches, self._command = switches, command
        self._driver: subprocess.Popen[str] | None = None
        self._asked = False
        self._orphans: list[psutil.Process] = []
        self._family: dict[tuple[int, float], psutil.Process] = {}
        self._over = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="chaos-family", daemon=True)
        self._follower.start()

    @property
    def log(self) -> Path:
        """Standard error of the latest run."""
        return self.folder / f"run-{self.starts}.log"

    @property
    def result(self) -> Path:
        """Standard output of the latest run: its counts as JSON, when it was drained."""
        return self.folder / f"run-{self.starts}.json"

    def start(self) -> None:
        """Start a driver; the one before must be gone."""
        assert self._driver is None
        self.starts += 1
        command = [sys.executable, "-m", "workers.cli.main", self._command]
        command += ["--json", "--metrics-port", "0"]
        command += [
            word
            for name, value in self._assignments.items()
            for word in ("--set", f"{name}={value}")
        ]
        environment = {**os.environ, "HOME": str(self.folder), "RAY_AUTH_MODE": "disabled"}
        environment["PYTHONPATH"] = str(ROOT)  # this checkout, wherever we stand
        if self._switches is not None:
            environment["VIGIE_CHAOS_SWITCHES"] = str(self._switches)
            environment["PYTHONPATH"] = f"{HOOKS}{os.pathsep}{ROOT}"
        with self.log.open("w") as errors, self.result.open("w") as output:
            self._driver = subprocess.Popen(
                command, env=environment, stdout=output, stderr=errors, text=True, cwd=self.folder
            )
        self._asked = False

    def is_running(self) -> bool:
        """Whether the driver lives; notes how it ended if it does not."""
        if self._driver is None:
            return False
        code = self._driver.poll()
        if code is None:
            return True
        self.endings.append(Ending(code=code, asked=self._asked, tail=self.log_tail()))
        self._driver = None
        return False

    def processes(self, actor: str) -> list[psutil.Process]:
        """The processes of "IngestActor" or "ScorerActor" that are at work, by age."""
        if self._driver is None:
            return []
        found = []
        try:
            family = psutil.Process(self._driver.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        for process in family:
            try:
                if f"ray::{actor}" in " ".join(process.cmdline()):
                    found.append((process.create_time(), process.pid, process))
            except psutil.Error:
                continue
        return [process for _, _, process in sorted(found)]

    @property
    def driver(self) -> psutil.Process | None:
        """The driver, None when it is gone."""
        return psutil.Process(self._driver.pid) if self._driver and self.is_running() else None

    def orphans(self) -> list[psutil.Process]:
        """What drivers that were killed have left behind and has not ended yet."""
        self._orphans = [process for process in self._orphans if _lives(process)]
        return self._orphans

    def kill_driver(self) -> None:
        """End the driver by SIGKILL. What it started is left to notice by itself."""
        if self._driver is not None:
            self._note_family()
            self._asked = True
            self._driver.kill()
            self._driver.wait()
            self.is_running()
            self._orphans = [process for process in self._family.values() if _lives(process)]

    def drain(self, *, within_s: float) -> int | None:
        """End it by SIGTERM; its exit code, None when it had to be killed."""
        if not self.is_running() or self._driver is None:
            return self.endings[-1].code if self.endings else None
        self._note_family()
        self._asked = True
        self._driver.send_signal(signal.SIGTERM)
        try:
            self._driver.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill_driver()
            return None
        self.is_running()
        return self.endings[-1].code

    def close(self) -> list[str]:
        """End everything; the processes that had not ended by themselves."""
        self._over.set()
        self._follower.join()
        self.kill_driver()
        until_s = time.monotonic() + _FAMILY_TIMEOUT_S
        left = list(self._family.values())
        while (left := [one for one in left if _lives(one)]) and time.monotonic() < until_s:
            time.sleep(_LOOK_S / 5)
        named = []
        for process in left:
            try:
                named.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
                process.kill()
            except psutil.Error:
                continue
        return named

    def log_tail(self, lines: int = 30) -> str:
        """The end of the latest run's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def counts(self) -> dict[str, int]:
        """What the latest run counted, when it was drained: the end of its standard output."""
        text = self.result.read_text()
        # Ray has a word of its own there, when a worker of it died.
        document, _ = json.JSONDecoder().raw_decode(text[max(text.find("\n{") + 1, 0) :])
        counts: dict[str, int] = document["counts"]
        return counts

    def events(self, *names: str) -> list[dict[str, Any]]:
        """The log's events of these names, over all runs."""
        found = []
        for number in range(1, self.starts + 1):
            for line in (
                (self.folder / f"run-{number}.log").read_text(errors="replace").splitlines()
            ):
                at = line.find("{")
                if at < 0 or not any(name in line for name in names):
                    continue
                try:
                    event = json.loads(line[at:])
                except ValueError:
                    continue
                if event.get("event") in names:
                    found.append(event)
        return found

    def wait_for(self, actor: str, *, within_s: float) -> bool:
        """Wait until an actor of a kind is there; False when none came."""
        until_s = time.monotonic() + within_s
        while not self.processes(actor):
            if time.monotonic() > until_s or not self.is_running():
                return False
            time.sleep(0.1)
        return True

    def _follow(self) -> None:
        while not self._over.wait(_LOOK_S):
            self._note_family()

    def _note_family(self) -> None:
        driver = self._driver
        if driver is None:
            return
        try:
            for process in psutil.Process(driver.pid).children(recursive=True):
                self._family[process.pid, process.create_time()] = process
        except psutil.Error:
            return


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie that nobody has waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
