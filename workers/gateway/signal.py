"""Waking those who wait in the event loop when another thread has committed something."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Self

__all__ = ["Listening", "Signal"]


class Signal:
    """Any thread notifies; coroutines wait."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._lock = threading.Lock()
        self._waiting = set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    def notify(self) -> None:
        """Wake all that wait."""
        with self._lock:
            waiting = list(self._waiting)
        for loop, event in waiting:
            with suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(event.set)

    def listen(self) -> Listening:
        """Begin to listen; what is notified from now on is not missed. Use it as a context."""
        return Listening(self)

    def _add(self, one: tuple[asyncio.AbstractEventLoop, asyncio.Event]) -> None:
        with self._lock:
            self._waiting.add(one)

    def _remove(self, one: tuple[asyncio.AbstractEventLoop, asyncio.Event]) -> None:
        with self._lock:
            self._waiting.discard(one)


class Listening:
    """One who waits."""

    def __init__(self, signal: Signal) -> None:
        """Of a signal; in the loop of the caller."""
        self._signal = signal
        self._one = (asyncio.get_running_loop(), asyncio.Event())

    def __enter__(self) -> Self:
        """Listen."""
        self._signal._add(self._one)  # noqa: SLF001 - two halves of one thing
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        self._signal._remove(self._one)  # noqa: SLF001

    def wake(self) -> None:
        """Wake this one alone; in its loop."""
        self._one[1].set()

    async def wait(self, timeout_s: float) -> None:
        """Wait until somebody notifies, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._one[1].wait()
        self._one[1].clear()
