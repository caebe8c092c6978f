"""Ports of this machine: is one free, and which is."""

from __future__ import annotations

import socket
from typing import Final

LAST_PORT: Final = 65_535


def is_free(port: int) -> bool:
    """True if a server could listen on ``port`` now; another program may be faster."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the broker does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that is free now; another program may be faster."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
