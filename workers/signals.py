"""SIGTERM and Ctrl-C as a question that loops can ask."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals(on_stop: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Yield `should_stop`: true once SIGINT or SIGTERM has come.

    The first signal asks for a drain; a second one interrupts at once. The handlers of before are
    put back at the end. Only the main thread may use it.

    Args:
        on_stop: called with the first signal, in the main thread.
    """
    stopping = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()
        on_stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
