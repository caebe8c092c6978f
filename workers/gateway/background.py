"""Threads that work for as long as the gateway runs."""

from __future__ import annotations

import threading

__all__ = ["Background"]


class Background(threading.Thread):
    """A thread that ends when it is told to: its `run` looks at `stopping` between two steps."""

    def __init__(self, name: str) -> None:
        """Of a name for logs; `start` begins."""
        super().__init__(name=f"vigie-{name}", daemon=True)
        self.stopping = threading.Event()

    def stop(self, *, within_s: float) -> None:
        """End after the step under way."""
        self.stopping.set()
        if self.is_alive():
            self.join(within_s)
