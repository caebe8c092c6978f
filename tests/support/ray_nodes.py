"""Ray nodes that are machines of their own, as far as the network goes: each in its namespace."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.netns import Network, Node
from tests.support.wait import wait_until

HEAD_PORT = 6379
_STORE_BYTES = "80000000"


@dataclass
class RayNode:
    """A `ray start` in a namespace."""

    machine: Node
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "node.log").read_text(errors="replace")

    def kill(self) -> None:
        """Power off: every process in the namespace is gone at once."""
        kill_all(self.machine)
        self.process.wait(timeout=20)


@dataclass
class RayNodes:
    """A cluster whose nodes come and go; made by `open_ray_nodes`."""

    network: Network
    environment: dict[str, str]
    stack: ExitStack = field(default_factory=ExitStack)

    def start_head(self, machine: Node, **environment: str) -> RayNode:
        """A head that runs no worker."""
        return self._start(machine, ["--head", f"--port={HEAD_PORT}", "--num-cpus=0"], environment)

    def start(self, machine: Node, head: Node, *options: str, **environment: str) -> RayNode:
        """A node that joins."""
        return self._start(
            machine, [f"--address={head.address}:{HEAD_PORT}", *options], environment
        )

    def _start(self, machine: Node, options: Sequence[str], environment: dict[str, str]) -> RayNode:
        # Sockets lie below it and their paths are limited: not in pytest's deep folders.
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="vgn-")))
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options]
        command += [f"--node-ip-address={machine.address}", f"--temp-dir={folder}/r"]
        command += [f"--object-store-memory={_STORE_BYTES}", "--disable-usage-stats"]
        if "--head" in options:
            command += ["--include-dashboard=false"]
        with (folder / "node.log").open("wb") as log:
            process = subprocess.Popen(
                machine.command(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.environment, **environment},
                start_new_session=True,
            )
        node = RayNode(machine, folder, process)
        self.stack.callback(node.kill)
        wait_until(
            lambda: "Ray runtime started" in node.log or process.poll() is not None,
            within=240,
            what=f"a Ray node at {machine.address}",
        )
        assert process.poll() is None, node.log
        return node


@contextmanager
def open_ray_nodes(network: Network, home: Path, **environment: str) -> Iterator[RayNodes]:
    """A cluster on this network; at the end every process of its nodes is gone."""
    base = {**os.environ, "HOME": str(home), "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
    nodes = RayNodes(network, base | environment)
    with nodes.stack:
        yield nodes


def kill_all(machine: Node) -> None:
    """SIGKILL for whatever runs in the namespace, until nothing does."""

    def left() -> bool:
        found = pids(machine)
        for pid in found:
            try:
                psutil.Process(pid).kill()
            except psutil.NoSuchProcess:
                continue
        return not found

    wait_until(left, within=30, what=f"the end of every process in {machine.name}")


def pids(machine: Node) -> list[int]:
    """The processes in the namespace."""
    listed = subprocess.run(
        ["ip", "netns", "pids", machine.name], capture_output=True, text=True, check=True
    )
    return [int(word) for word in listed.stdout.split()]
