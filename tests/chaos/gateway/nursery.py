"""Starts `vigie serve` over and over, from a process that has loaded it once: by a fork.

A start would take seconds of computing otherwise, most of the time of a run with hundreds of kills.
What is started is the command line with its arguments, in a process of its own. Say on standard
input ``{"folder": ..., "environment": {...}, "arguments": [...]}``, one a line; it says
``PID started`` and ``PID code N`` of each. What it started ends with it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[3]
_LOOK_S: Final = 0.02


class Child:
    """A process that the nursery started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self.ended = threading.Event()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Nursery:
    """The process that starts others, as the harness sees it."""

    def __init__(self) -> None:
        """Load the product there; it takes a while."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.gateway.nursery"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self._children: dict[int, Child] = {}
        self._started: list[Child] = []
        self._news = threading.Condition()
        self._listener = threading.Thread(target=self._listen, name="chaos-nursery", daemon=True)
        self._listener.start()

    def start(
        self, folder: Path, environment: Mapping[str, str], arguments: Sequence[str]
    ) -> Child:
        """Start one; what it says goes to serve.log in its folder."""
        order = {"folder": str(folder), "environment": dict(environment),
                 "arguments": list(arguments)}  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        with self._news:
            assert self._news.wait_for(lambda: self._started, timeout=120)
            return self._started.pop()

    def close(self) -> None:
        """End it and all that it started."""
        for child in self._children.values():
            if child.code is None:
                child.signal(signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            pid, what, *rest = line.split()
            with self._news:
                if what == "started":
                    child = self._children[int(pid)] = Child(int(pid))
                    self._started.append(child)
                else:
                    child = self._children[int(pid)]
                    child.code = int(rest[0])
                    child.ended.set()
                self._news.notify_all()


def _main() -> None:
    import workers.api.app
    import workers.cli.main
    import workers.gateway.gateway  # noqa: F401

    living = set[int]()
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], _LOOK_S)
        for pid in list(living):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                living.discard(pid)
                _say(f"{pid} code {os.waitstatus_to_exitcode(status)}")
        if ready:
            line = sys.stdin.readline()
            if not line:
                for pid in living:
                    os.kill(pid, signal.SIGKILL)
                return
            pid = os.fork()
            if pid == 0:
                _become(json.loads(line))
            living.add(pid)
            _say(f"{pid} started")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _become(order: dict[str, Any]) -> None:
    """In the child: the command, and its end."""
    code = 1
    try:
        log = os.open(Path(order["folder"]) / "serve.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.chdir(order["folder"])
        os.environ.update(order["environment"])
        from tests.chaos.gateway.orders import install
        from workers.cli.main import main

        install(os.environ["VIGIE_CHAOS_ORDER"], os.environ["VIGIE_CHAOS_PLANT"])
        code = int(main(order["arguments"]))
    except BaseException:  # noqa: BLE001 - the child must not go on as the nursery
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _main()
