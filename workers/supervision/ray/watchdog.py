"""A watchdog: a worker that stands still with work before it shows where it stands."""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import structlog

Progress = Callable[[], tuple[int, bool]]
"""Gives (ticks: a number that grows with progress, whether there is work to do)."""


class Watchdog:
    """Watches progress from a thread of its own.

    A stall is dumped once: all threads' stacks go to `sink`, and it is counted. It ends with the
    next progress. Nothing is killed here; the supervisor sees the count.
    """

    def __init__(
        self,
        progress: Progress,
        *,
        stall_timeout_s: float,
        sink: IO[str],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._stall_timeout_s = stall_timeout_s
        self._sink = sink
        self._monotonic_s = monotonic_s
        self._last, _ = progress()
        self._since_s = monotonic_s()
        self._dumped = False
        self.stalls = 0

    def look(self) -> None:
        """Compare the ticks with the last look's."""
        ticks, has_work = self._progress()
        now_s = self._monotonic_s()
        if ticks != self._last or not has_work:
            self._last, self._since_s, self._dumped = ticks, now_s, False
            return
        if self._dumped or now_s - self._since_s < self._stall_timeout_s:
            return
        self._dumped = True
        self.stalls += 1
        structlog.get_logger("vigie.watchdog").error(
            "worker_stalled", without_progress_s=round(now_s - self._since_s, 1)
        )
        faulthandler.dump_traceback(file=self._sink, all_threads=True)

    @contextmanager
    def watching(self, *, every_s: float = 1.0) -> Iterator[None]:
        """Look every `every_s` seconds while the block runs."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(every_s):
                self.look()

        thread = threading.Thread(target=watch, name="vigie-watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=5)
