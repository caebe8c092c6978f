"""A real `vigie run` as a process, and what it says of itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from schemas.settings import Settings
from tests.support.wait import wait_until


@contextmanager
def vigie_run(
    settings: Settings,
    model: Path,
    home: Path,
    *extra: str,
    program: Sequence[str] = (),
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A `vigie run` of these settings; whatever it leaves behind is ended and fails the test.

    Args:
        settings: which topics, broker and group.
        model: the folder of an artifact.
        home: of the processes; the log is written there.
        extra: further arguments.
        program: `vigie` of another release; it is kept from finding the modules of this one.
    """
    topics = settings.topics
    assignments = [
        f"{key}={value}"
        for key, value in {
            "topics.readings": topics.readings,
            "topics.anomalies": topics.anomalies,
            "topics.denoised": topics.denoised,
            "topics.dead_letters": topics.dead_letters,
            "topics.sensor_state": topics.sensor_state,
            "topics.incidents": topics.incidents,
            "topics.verdicts": topics.verdicts,
            "processing.drain_timeout_s": "10",
        }.items()
    ]
    command = [*(program or (sys.executable, "-m", "workers.cli.main")), "run", "--json"]
    command += ["--model", str(model), "--bootstrap", settings.kafka.bootstrap]
    command += ["--group", settings.kafka.group, "--metrics-port", "0", *extra]
    command += [part for assignment in assignments for part in ("--set", assignment)]
    log = home / "stderr.log"
    environment = {**os.environ, "HOME": str(home), "RAY_AUTH_MODE": "disabled"}
    if program:
        environment.pop("PYTHONPATH", None)
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=home if program else None,  # Ray's workers look for modules there
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        family: list[psutil.Process] = []
        try:
            yield process, log
        finally:
            if process.poll() is None:
                family += psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
            _, left = psutil.wait_procs(family, timeout=20)
            for orphan in left:
                orphan.kill()
        assert not left, f"left behind: {left}"


def metrics_address(log: Path) -> str:
    def find() -> str:
        for line in log.read_text().splitlines():
            if "metrics_served" in line:
                return str(json.loads(line)["address"])
        return ""

    return wait_until(find, within=120, what=f"a metrics address in {log}")


def status(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(address.replace("/metrics", "/status"), timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def actors(process: subprocess.Popen[str], kind: str) -> dict[int, psutil.Process]:
    """The living actors of a run by process id; `kind` is "IngestActor" or "ScorerActor"."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if f"ray::{kind}" in " ".join(child.cmdline()):
                found[child.pid] = child
        except psutil.NoSuchProcess:
            continue
    return found
