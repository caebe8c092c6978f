"""Libraries that block, in threads of their own, so that they hold up nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self

from workers.gateway.sinks.outcome import Outcome

__all__ = ["BlockingCalls"]


class BlockingCalls:
    """Calls of one kind of sink."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        """In these threads."""
        self._threads = threads

    @classmethod
    @contextmanager
    def open(cls, name: str, *, threads: int) -> Iterator[Self]:
        """Make threads; at the end they end as soon as what they have begun is done."""
        pool = ThreadPoolExecutor(threads, thread_name_prefix=f"vigie-{name}")
        try:
            yield cls(pool)
        finally:
            pool.shutdown(wait=False)

    def submit(self, call: Callable[[], None]) -> None:
        """Have something done behind what is being done, and do not wait for it."""
        self._threads.submit(call)

    async def run(self, call: Callable[[], Outcome], *, deadline: float) -> Outcome:
        """What a call returns. One that has not begun by the deadline never will.

        One that has begun goes on: what it sends after all is a repeat of the same notification.
        """
        running = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            async with asyncio.timeout_at(deadline):
                return await running
        except TimeoutError:
            return Outcome.failed("no answer in time")
