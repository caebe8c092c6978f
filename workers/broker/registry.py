"""The one broker that ``vigie broker start`` left running, noted in the user's state folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil

from workers.broker.embedded import EmbeddedBroker
from workers.broker.folders import state_folder
from workers.errors import ProvisioningError

_STOP_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class RunningBroker:
    """What is known of it."""

    bootstrap: str
    pid: int  # the leader of its process group
    created_s: float  # when that process was made: a pid used again is not taken for it
    data: str
    keeps_data: bool  # False if the data folder goes away with the broker
    log: str


def find_running() -> RunningBroker | None:
    """The remembered broker if it still runs, else None. A stale note is removed."""
    path = _note()
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):  # of another version
        broker = RunningBroker(**json.loads(path.read_text(encoding="utf-8")))
        if _process(broker) is not None:
            return broker
    path.unlink(missing_ok=True)
    return None


def remember(broker: EmbeddedBroker, *, keeps_data: bool) -> RunningBroker:
    """Write the note of a broker that has just been started."""
    pid = broker.pid
    if pid is None:
        raise ProvisioningError(f"The broker ended at once. Its log: {broker.log_path}")
    running = RunningBroker(
        bootstrap=broker.bootstrap,
        pid=pid,
        created_s=psutil.Process(pid).create_time(),
        data=str(broker.data),
        keeps_data=keeps_data,
        log=str(broker.log_path),
    )
    path = _note()
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(asdict(running), indent=2), encoding="utf-8")
    draft.replace(path)
    return running


@contextmanager
def starting() -> Iterator[None]:
    """Hold the right to start or stop the remembered broker: one command at a time.

    Raises:
        ProvisioningError: another ``vigie broker`` is at it, or the folder cannot be written.
    """
    folder = state_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "broker.lock").open("w")
    except OSError as error:
        raise ProvisioningError(
            f"Cannot write to {folder} ({error.strerror}): point VIGIE_STATE_DIR at a folder of "
            "yours."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ProvisioningError(
                "Another vigie broker command is starting or stopping the broker: wait for it, "
                "then look with vigie broker status."
            ) from error
        yield


def stop_running(broker: RunningBroker) -> None:
    """End it politely, within 20 s by force, and forget it. A temporary folder is removed."""
    process = _process(broker)
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(broker.pid, signal.SIGCONT)
            process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(broker.pid, signal.SIGKILL)
    if not broker.keeps_data:
        shutil.rmtree(broker.data, ignore_errors=True)
    _note().unlink(missing_ok=True)


def _process(broker: RunningBroker) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(broker.pid)
        is_it = abs(process.create_time() - broker.created_s) < 1.0
        return process if is_it and process.status() != psutil.STATUS_ZOMBIE else None
    return None


def _note() -> Path:
    return state_folder() / "broker.json"
