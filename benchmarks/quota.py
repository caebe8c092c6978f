"""A share of a core for a process, by the kernel's control groups: a small machine for a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_ROOTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
_PERIOD_US = 20_000
"""Short, so that a process waits for its next share for less time than a turn of its takes."""


@dataclass(frozen=True, kw_only=True)
class Quota:
    """Gives processes `share` of a core each, below `folder`."""

    folder: Path
    share: float

    def limit(self, pid: int) -> None:
        """Limit a process with all its threads; once is enough."""
        group = self.folder / str(pid)
        with suppress(FileExistsError):
            group.mkdir()
            quota_us = int(self.share * _PERIOD_US)
            if (group / "cpu.cfs_quota_us").exists():
                (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota_us))
            else:
                (group / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")
            (group / "cgroup.procs").write_text(str(pid))


@contextmanager
def quotas(share: float) -> Iterator[Quota]:
    """Quotas until the end of the block; the processes in them have to be gone by then.

    Raises:
        RuntimeError: this machine gives no quotas to this user; says what is missing.
    """
    root = next((r for r in _ROOTS if (r / "cgroup.procs").exists()), None)
    if root is None or not os.access(root, os.W_OK):
        raise RuntimeError(
            "no control groups that may be written to: run as root where /sys/fs/cgroup is "
            "writable, or with --share 0 on a machine with a core for each worker"
        )
    folder = root / f"vigie-{os.getpid()}"
    folder.mkdir()
    with suppress(OSError):  # version 2 hands the processor on by name; version 1 has no such file
        (root / "cgroup.subtree_control").write_text("+cpu")
        (folder / "cgroup.subtree_control").write_text("+cpu")
    try:
        yield Quota(folder=folder, share=share)
    finally:
        for group in (*folder.iterdir(), folder):
            if group.is_dir():
                with suppress(OSError):  # a process that is not gone yet keeps its own
                    group.rmdir()
