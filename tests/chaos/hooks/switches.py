"""Switches in a small mapped file: a nemesis sets them, workers look at them. Standard library.

Both sides map the same file, so a look costs a copy of eight bytes and no call to the system.
"""

from __future__ import annotations

import fcntl
import mmap
import struct
from pathlib import Path

_SIZE = 4096
_DOUBLE = struct.Struct("<d")
_PLACES = {
    "wall_offset_s": 0,  # added to time.time() in Ray's worker processes
    "score_delay_s": 8,  # each scoring call takes so much longer
    "failures": 16,  # so many scoring calls raise, one less with each
    "wrong_sizes": 24,  # so many calls answer one sample too few
    "all_fail_until_s": 32,  # scoring raises until then, in time.monotonic()
    "stops_in_send": 40,  # so many workers stop themselves while outputs are under way
    "stopped_pid": 48,  # the last one that did
}


class Switches:
    """The switches by name; all are floats and begin at 0."""

    def __init__(self, path: str) -> None:
        Path(path).touch()
        self._file = open(path, "r+b")  # noqa: SIM115, PTH123 - mapped for the process's life
        if Path(path).stat().st_size < _SIZE:
            self._file.truncate(_SIZE)
        self._map = mmap.mmap(self._file.fileno(), _SIZE)

    def get(self, name: str) -> float:
        """How a switch stands."""
        value: float = _DOUBLE.unpack_from(self._map, _PLACES[name])[0]
        return value

    def set(self, name: str, value: float) -> None:
        """Turn it."""
        _DOUBLE.pack_into(self._map, _PLACES[name], value)

    def take(self, name: str) -> bool:
        """Take one of a switch that counts; False when none is left. Safe between processes."""
        if self.get(name) < 1:
            return False
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            left = self.get(name)
            if left >= 1:
                self.set(name, left - 1)
            return left >= 1
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        self._file.close()
