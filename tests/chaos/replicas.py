"""Every broker's copy of a partition is the same, byte for byte, once all is quiet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

from tests.chaos.violations import Violations, found

_LOOK_S: Final = 0.5


def alike(logs: Sequence[Path], topics: Sequence[str], *, within_s: float) -> Violations:
    """Compare the files of some topics; a follower may need a moment to have the last records.

    Topics that are compacted are not for this: each broker does that when it likes.
    """
    until_s = time.monotonic() + within_s
    while (different := _different(logs, topics)) and time.monotonic() < until_s:
        time.sleep(_LOOK_S)
    return found("partitions whose copies differ", different)


def _different(logs: Sequence[Path], topics: Sequence[str]) -> list[str]:
    copies = [
        {
            folder.name: _digest(folder)
            for topic in topics
            for folder in sorted(log.glob(f"{topic}-*"))
            if folder.name.removeprefix(f"{topic}-").isdecimal()
        }
        for log in logs
    ]
    names = sorted({name for copy in copies for name in copy})
    return [name for name in names if len({copy.get(name) for copy in copies}) > 1]


def _digest(folder: Path) -> str:
    """Of all bytes in their order: segments may begin elsewhere on each broker."""
    summed = blake2b(digest_size=16)
    for segment in sorted(folder.glob("*.log")):
        summed.update(segment.read_bytes())
    return summed.hexdigest()
