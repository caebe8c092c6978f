"""A small disk for the broker's log that can be filled: a tmpfs of its own.

Mounting needs root and the right to mount. Where either is missing `mounted` yields None and says
so, and the schedule does without full disks.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

_BLOCK: Final = 256 * 1024
SIZE_MB: Final = 512


class Disk:
    """A mounted folder; `fill` leaves no byte free, `free` gives them back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "chaos-ballast"

    def fill(self) -> int:
        """Take all the space there is; return the bytes taken."""
        taken, size = 0, _BLOCK
        with self._ballast.open("ab", buffering=0) as ballast:
            while size:
                try:
                    taken += ballast.write(b"\0" * size)
                except OSError:
                    size //= 2
        return taken

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def mounted(folder: Path, *, size_mb: int = SIZE_MB) -> Iterator[Disk | None]:
    """Mount a small disk at `folder` until the block ends; None where that is impossible."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "vigie-chaos", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        refused = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        refused = str(error)
    if refused or not os.path.ismount(folder):
        structlog.get_logger("chaos").error(
            "NO FULL DISKS IN THIS RUN: a small file system cannot be mounted here",
            reason=refused or "mount did nothing",
        )
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
