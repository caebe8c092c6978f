"""The Ray node of a driver on a machine that has none: it lends no CPU, and ends with the driver.

A driver of Ray talks to a raylet on its own machine. In a container of its own there is no other.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from workers.broker.guarded import guarded
from workers.errors import ClusterError, ClusterLostError
from workers.supervision.ray.cluster import Cluster

_JOINS_WITHIN_S: Final = 180.0
_POLL_S: Final = 0.25
_LINES_SHOWN: Final = 15
# Handles and the model's files pass through it; results of scorers go to the ingest workers.
_STORE_BYTES: Final = 256 * 1024 * 1024


class OwnNode:
    """A node that `own_node` started."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self._process = process

    @property
    def log(self) -> Path:
        """What `ray start` said."""
        return self.folder / "node.log"

    def check(self) -> None:
        """Look whether it still runs.

        Raises:
            ClusterLostError: it has ended; shows its last words.
        """
        code = self._process.poll()
        if code is not None:
            said = self.log.read_text(errors="replace") if self.log.exists() else ""
            lines = [line for line in said.splitlines() if line.strip()][-_LINES_SHOWN:]
            raise ClusterLostError(
                f"the Ray node of this driver ended (code {code}). The end of what it said:\n"
                + ("\n".join(lines) or "(nothing)")
            )

    def wait_until_joined(self, cluster: Cluster) -> None:
        """Wait until the head knows it.

        Raises:
            ClusterError: it ended, or the time is up.
        """
        deadline_s = time.monotonic() + _JOINS_WITHIN_S
        while not cluster.has_node_in(str(self.folder)):
            self.check()
            if time.monotonic() >= deadline_s:
                raise ClusterError(
                    f"the Ray node of this driver did not join {cluster.address} within "
                    f"{_JOINS_WITHIN_S:g} s: every node of a cluster has to reach every other, on "
                    "all ports that Ray uses (docs/guide-ray.md)"
                )
            time.sleep(_POLL_S)


@contextmanager
def own_node(cluster: Cluster) -> Iterator[OwnNode]:
    """A node of this process's own, joined to the cluster; no CPU or GPU is lent to others.

    It is gone at the end of the block, and also when this process is killed: the reaper waits for
    the end of a pipe that only we hold.

    Raises:
        ClusterError: it did not start, or did not join.
    """
    # Sockets lie below this folder and their paths are limited to 107 characters: keep it short.
    folder = Path(tempfile.mkdtemp(prefix="vigie-ray-"))
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    command += ["--address", cluster.address, "--num-cpus", "0", "--num-gpus", "0"]
    command += ["--object-store-memory", str(_STORE_BYTES), "--temp-dir", str(folder)]
    command += ["--include-log-monitor", "false", "--disable-usage-stats"]
    # At its end nothing of ours runs on it, and a head that is gone must not hold it up.
    environment = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
    try:
        with (
            (folder / "node.log").open("wb") as log,
            # Ctrl-C asks us to drain, which needs the node.
            guarded(command, log=log, remove=folder, environment=environment) as process,
        ):
            node = OwnNode(folder, process)
            node.wait_until_joined(cluster)
            yield node
    finally:
        shutil.rmtree(folder, ignore_errors=True)
