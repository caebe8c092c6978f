"""What happens, handed to all who listen: the database is read once, however many they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog

from workers.gateway.signal import Signal
from workers.gateway.store import events
from workers.gateway.store.database import Database, DatabaseUnavailableError
from workers.gateway.store.events import StoredEvent

__all__ = ["EventFan", "Listener", "Told"]

BACKLOG: Final = 512
"""Events that may wait for a listener; who is further behind is dropped."""
_MAX_READ: Final = 256
"""Most events that are read, and told, at once: less than may wait for a listener."""
_POLL_S: Final = 0.5
_PAUSE_S: Final = 0.000_2
_MOST_PAUSE_S: Final = 0.2
"""The more listen, the more is told at once: to wake a thousand takes a good part of a second."""


@dataclass(frozen=True)
class Told:
    """An event, and its text as server-sent events have it; made once for all listeners."""

    event: StoredEvent
    text: bytes

    @classmethod
    def of(cls, event: StoredEvent) -> Told:
        """The event as it is sent."""
        lines = f"id: {event.seq}\nevent: {event.type}\ndata: {event.text}\n\n"
        return cls(event, lines.encode())


class Listener:
    """One who listens, in the loop of the fan."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._waiting: list[Told] = []
        self._news = asyncio.Event()
        self.is_dropped = False

    def tell(self, told: Sequence[Told]) -> None:
        """Hand events over; who has no room for them is dropped."""
        if self.is_dropped:
            return
        if len(self._waiting) + len(told) > BACKLOG:
            self.drop()
            return
        self._waiting += told
        self._news.set()

    def drop(self) -> None:
        """End it: it may come again and say where it was."""
        self.is_dropped = True
        self._waiting = []
        self._news.set()

    async def next(self, timeout_s: float) -> list[Told]:
        """What there is to tell; nothing if there was none in time, or it was dropped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()
        waiting, self._waiting = self._waiting, []
        return waiting


class EventFan:
    """Reads what is new and hands it to the listeners."""

    def __init__(self, database: Database, signal: Signal) -> None:
        """Of a database; `run` begins."""
        self._database, self._signal = database, signal
        self._listeners = set[Listener]()
        self.ending = asyncio.Event()
        """Set once nobody is told any more, and who listens has to leave."""
        self.ready = asyncio.Event()
        """Set once what happens from then on is told."""

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Listen from now on."""
        listener = Listener()
        if self.ending.is_set():
            listener.drop()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def run(self, stopping: asyncio.Event) -> None:
        """Hand over until it is told to stop, then drop all listeners; it may run again."""
        if self.ending.is_set():
            self.ending = asyncio.Event()
        seq: int | None = None
        with self._signal.listen() as heard:
            while not stopping.is_set():
                try:
                    if seq is None:
                        seq = await asyncio.to_thread(self._last)
                    self.ready.set()
                    found = await asyncio.to_thread(self._after, seq)
                except DatabaseUnavailableError as error:
                    structlog.get_logger("vigie.gateway").warning("stream_waits", error=str(error))
                    found = []
                except Exception:  # noqa: BLE001 - who tells nothing must not look alive
                    structlog.get_logger("vigie.gateway").exception("stream_failed")
                    found = []
                if found:
                    told = [Told.of(event) for event in found]
                    for listener in list(self._listeners):
                        listener.tell(told)
                    seq = found[-1].seq
                    await asyncio.sleep(min(_PAUSE_S * len(self._listeners), _MOST_PAUSE_S))
                else:
                    await heard.wait(_POLL_S)
        self.end()

    def end(self) -> None:
        """Drop all who listen, and who comes from now on: an open stream keeps a server up."""
        self.ending.set()
        for listener in list(self._listeners):
            listener.drop()

    def _last(self) -> int:
        with self._database.read() as connection:
            return events.bounds(connection)[1]

    def _after(self, seq: int) -> list[StoredEvent]:
        with self._database.read() as connection:
            return events.read_after(connection, seq, limit=_MAX_READ)
