"""Containers without Docker: a process in namespaces of its own, with no right that it lacks there.

A root made of bind mounts, read-only if so asked; its own processes, host name, /dev/shm and, in a
network of `tests.support.netns`, address; no capability, no way to new privileges. Linux and root
only; `why_not` says what is missing. What an image brings beside Vigie's environment (C library,
shell) is that of this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import container_init, netns
from tests.support.wait import wait_until

Mounts = Sequence[tuple[Path, str, str]]
"""Source on this machine, target in the container, "ro" or "rw"."""


def why_not() -> str | None:
    """Why no container can be run here; None if one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "containers without Docker need Linux and root"
    missing = [name for name in ("unshare", "nsenter", "setpriv") if shutil.which(name) is None]
    if missing:
        return f"containers without Docker need {', '.join(missing)} (Debian: util-linux)"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--uts", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if tried.returncode == 0 else f"nothing can be mounted here: {tried.stderr.strip()}"


def environment_mounts(environment: Path, checkout: Path | None = None) -> Mounts:
    """An environment with Vigie at /opt/vigie, and what it needs of this machine.

    Args:
        environment: with the packages.
        checkout: of which the environment is an editable install; None if it stands for itself.
    """
    base = Path(sys.base_prefix)
    mounts = [(environment, "/opt/vigie", "ro")]
    if not base.is_relative_to("/usr"):
        mounts.append((base, str(base), "ro"))
    if checkout is not None:
        # Its scripts name their interpreter by the path at which the environment was made.
        mounts.append((checkout, str(checkout), "ro"))
    return mounts


@dataclass(kw_only=True)
class Container:
    """One container; `start` it, or `run` it to its end.

    Attributes:
        name: of the host.
        command: words; the first is looked up in the PATH of `env`.
        user: uid and gid.
        init: whether process 1 is one that forwards signals and reaps.
        tmpfs: folders that are memory of its own.
        node: its place in a network; None shares that of the test.
        log: file that takes its output; it is appended to.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log: Path
    user: tuple[int, int] = (10001, 10001)
    folder: str = "/"
    mounts: Mounts = ()
    tmpfs: Sequence[str] = ()
    shm_size: str = "64m"
    read_only: bool = True
    init: bool = True
    node: netns.Node | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _root: Path | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it; it ends with the test at the latest."""
        self._root = Path(tempfile.mkdtemp(prefix="vigie-root-"))
        spec = self._root.with_suffix(".json")
        spec.write_text(json.dumps(self._spec()))
        command = [
            *("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--uts"),
            *("--kill-child=SIGKILL", "--"),
            *("/usr/bin/env", "-i", f"PATH={os.environ['PATH']}"),
            *(sys.executable, "-I", "-S", container_init.__file__, str(spec)),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.node.command(command) if self.node else command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, within_s: float) -> int:
        """Start it and wait for its end; returns its exit code."""
        self.start()
        try:
            return self.wait(within_s)
        finally:
            self.remove()

    def wait(self, within_s: float) -> int:
        """Wait for its end; returns its exit code."""
        assert self._process is not None
        code = self._process.wait(within_s)
        return code if code >= 0 else 128 - code

    def is_running(self) -> bool:
        """Whether its process 1 lives."""
        return self._process is not None and self._process.poll() is None

    def execute(self, command: Sequence[str], within_s: float) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as `docker exec` and health checks do."""
        uid, gid = self.user
        entered = [
            *("nsenter", f"--target={self._first_process()}", "--mount", "--net", "--pid", "--uts"),
            *("--root", "--wd", "/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}"),
            *("--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"),
            *command,
        ]
        return subprocess.run(
            entered,
            env=dict(self.env),
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )

    def stop(self, how: signal.Signals, grace_s: float) -> int:
        """End it as `docker stop` does; returns its exit code: 137 if it had to be killed."""
        if self.is_running():
            os.kill(self._first_process(), how)
        try:
            return self.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.remove()
            return 137

    def remove(self) -> None:
        """End it at once, and leave nothing of it."""
        if self._process is not None:
            if self._process.poll() is None:
                # With its process 1 all others of its namespace die. The one above is not enough:
                # that one gave up its rights, and is no longer told of its parent's death.
                with suppress(AssertionError, ProcessLookupError):
                    os.kill(self._first_process(), signal.SIGKILL)
                self._process.kill()
            self._process.wait()
        if self._root is not None:
            self._root.rmdir()
            self._root.with_suffix(".json").unlink()
            self._root = None

    def _first_process(self) -> int:
        """Process 1 of its namespace, as this machine counts."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")

        def found() -> int:
            assert self.is_running(), f"{self.name} has ended"
            return int((children.read_text().split() or ["0"])[0])

        return wait_until(found, within=30, what=f"{self.name} to begin")

    def _spec(self) -> dict[str, object]:
        return {
            "name": self.name,
            "root": str(self._root),
            "folder": self.folder,
            "uid": self.user[0],
            "gid": self.user[1],
            "init": self.init,
            "env": dict(self.env),
            "command": list(self.command),
            "mounts": [(str(source), target, mode) for source, target, mode in self.mounts],
            "tmpfs": list(self.tmpfs),
            "shm_size": self.shm_size,
            "read_only": self.read_only,
        }


@contextmanager
def removed_at_the_end(containers: Sequence[Container]) -> Iterator[None]:
    """Whatever happens, none of them is left."""
    try:
        yield
    finally:
        for container in reversed(containers):
            container.remove()


def seconds(text: str) -> float:
    """A duration of a compose file: 30s, 2m."""
    return float(text[:-1]) * {"s": 1, "m": 60}[text[-1]]
