"""Process 1 of a container that a test runs without Docker; see `tests.support.container`.

Run as root in new mount, process and host name namespaces, with a specification in JSON as its
argument. Builds a root of its own out of bind mounts, makes it read-only, gives up every right, and
runs the command: itself as process 1, or below one that forwards signals and reaps (`init: true`).
Standard library only: it runs with the interpreter of the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_OF_THE_MACHINE = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "etc/ssl", "etc/alternatives")
_COPIED = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "localtime", "services", "protocols")
_USER = "vigie:x:10001:10001::/tmp:/usr/sbin/nologin\n"


def main() -> None:
    """Build the root, then run."""
    spec: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    socket.sethostname(spec["name"])
    root = Path(spec["root"])
    build(root, spec)
    os.chroot(root)
    os.chdir(spec["folder"])
    words = [
        *("/usr/bin/setpriv", f"--reuid={spec['uid']}", f"--regid={spec['gid']}"),
        *("--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"),
        *spec["command"],
    ]
    if spec["init"]:
        sys.exit(supervise(words, spec["env"]))
    os.execve(words[0], words, spec["env"])


def build(root: Path, spec: dict[str, Any]) -> None:
    """Mount what the container sees at `root`."""
    mount("tmpfs", root, "-t", "tmpfs", "-o", "mode=755")
    (root / "etc").mkdir()
    for name in _COPIED:
        source = Path("/etc", name)
        if source.exists():
            shutil.copyfile(source, root / "etc" / name)
    with (root / "etc/passwd").open("a") as users:
        users.write(_USER)
    for name in _OF_THE_MACHINE:
        source = Path("/", name)
        if source.is_symlink():
            (root / name).symlink_to(source.readlink())
        elif source.is_dir():
            bind(source, root / name, "ro")
    for name in ("dev", "sys"):
        (root / name).mkdir()
        mount(f"/{name}", root / name, "--rbind")
    (root / "proc").mkdir()
    mount("proc", root / "proc", "-t", "proc")
    mount("shm", root / "dev/shm", "-t", "tmpfs", "-o", f"mode=1777,size={spec['shm_size']}")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    for target in spec["tmpfs"]:
        folder = inside(root, target)
        folder.mkdir(parents=True, exist_ok=True)
        mount("tmpfs", folder, "-t", "tmpfs", "-o", "mode=1777,nosuid,nodev,noexec")
    # Outer folders before what is mounted in them.
    for source, target, mode in sorted(spec["mounts"], key=lambda one: one[1]):
        bind(Path(source), inside(root, target), mode)
    inside(root, spec["folder"]).mkdir(parents=True, exist_ok=True)
    if spec["read_only"]:
        mount("tmpfs", root, "-o", "remount,ro")


def inside(root: Path, target: str) -> Path:
    """Where `target` is in the new root; /run is no link there."""
    return root / target.lstrip("/")


def bind(source: Path, target: Path, mode: str) -> None:
    """Show a file or folder of the machine, read-only or not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir(exist_ok=True)
    elif not target.exists():
        target.touch()
    mount(source, target, "--bind")
    if mode == "ro":
        mount(source, target, "-o", "remount,bind,ro")


def mount(source: Path | str, target: Path, *options: str) -> None:
    """Mount, or say why not."""
    subprocess.run(["mount", *options, str(source), str(target)], check=True)


def supervise(words: list[str], env: dict[str, str]) -> int:
    """Run the command below: forward signals, reap whoever is left over, end as it ends."""
    child = os.posix_spawn(words[0], words, env)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: os.kill(child, got))
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    main()
