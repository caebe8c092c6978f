"""The broker, or cluster, that ``vigie broker start`` left running, noted in the state folder."""

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

from workers.broker.cluster import EmbeddedCluster
from workers.broker.embedded import EmbeddedBroker
from workers.broker.folders import state_folder
from workers.errors import ProvisioningError

_STOP_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class RunningNode:
    """What is known of one node."""

    pid: int  # the leader of its process group
    created_s: float  # when that process was made: a pid used again is not taken for it
    log: str


@dataclass(frozen=True, kw_only=True)
class RunningBroker(RunningNode):
    """What is known of it: the first node, and what is of all of them."""

    bootstrap: str
    data: str
    keeps_data: bool  # False if the data folder goes away with the broker
    peers: tuple[RunningNode, ...] = ()  # the other nodes of a cluster

    @property
    def nodes(self) -> tuple[RunningNode, ...]:
        """All nodes, by number."""
        return (self, *self.peers)


def find_running() -> RunningBroker | None:
    """The remembered broker if a node of it still runs, else None. A stale note is removed."""
    path = _note()
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):  # of another version
        known = json.loads(path.read_text(encoding="utf-8"))
        peers = tuple(RunningNode(**peer) for peer in known.pop("peers", ()))
        broker = RunningBroker(**known, peers=peers)
        if living_nodes(broker):
            return broker
    path.unlink(missing_ok=True)
    return None


def living_nodes(broker: RunningBroker) -> int:
    """How many of its nodes have a process that lives."""
    return sum(_process(node) is not None for node in broker.nodes)


def remember(broker: EmbeddedBroker | EmbeddedCluster, *, keeps_data: bool) -> RunningBroker:
    """Write the note of a broker, or cluster, that has just been started."""
    nodes = broker.nodes if isinstance(broker, EmbeddedCluster) else (broker,)
    first, *peers = map(_running, nodes)
    running = RunningBroker(
        **asdict(first),
        bootstrap=broker.bootstrap,
        data=str(broker.data),
        keeps_data=keeps_data,
        peers=tuple(peers),
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
    processes = [process for node in broker.nodes if (process := _process(node)) is not None]
    for process in processes:
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            os.killpg(process.pid, signal.SIGCONT)
            process.terminate()
    for process in psutil.wait_procs(processes, _STOP_TIMEOUT_S)[1]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if not broker.keeps_data:
        shutil.rmtree(broker.data, ignore_errors=True)
    _note().unlink(missing_ok=True)


def _running(node: EmbeddedBroker) -> RunningNode:
    pid = node.pid
    if pid is None:
        raise ProvisioningError(f"The broker ended at once. Its log: {node.log_path}")
    created_s = psutil.Process(pid).create_time()
    return RunningNode(pid=pid, created_s=created_s, log=str(node.log_path))


def _process(node: RunningNode) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(node.pid)
        is_it = abs(process.create_time() - node.created_s) < 1.0
        return process if is_it and process.status() != psutil.STATUS_ZOMBIE else None
    return None


def _note() -> Path:
    return state_folder() / "broker.json"
