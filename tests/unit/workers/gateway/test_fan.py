"""What happens is handed to all who listen; who does not keep up is dropped, nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from workers.gateway.fan import BACKLOG, EventFan, Listener
from workers.gateway.signal import Signal
from workers.gateway.store import events
from workers.gateway.store.database import Database


def _append(database: Database, number: int) -> None:
    made = [
        events.Happened(
            document=events.made_here("subscription.test", subject="s", data={}, at_ns=0)
        )
        for _ in range(number)
    ]
    with database.begin() as connection:
        events.append(connection, made, now_ns=0)


def _listen(
    database: Database,
    talk: Callable[[EventFan, Signal], Coroutine[Any, Any, None]],
) -> None:
    async def run() -> None:
        signal = Signal()
        fan, stopping = EventFan(database, signal), asyncio.Event()
        running = asyncio.create_task(fan.run(stopping))
        async with asyncio.timeout(20):
            await fan.ready.wait()
            await talk(fan, signal)
            stopping.set()
            signal.notify()
            await running

    asyncio.run(run())


async def _hear(listener: Listener, number: int) -> list[int]:
    heard: list[int] = []
    while len(heard) < number and not listener.is_dropped:
        heard += [told.event.seq for told in await listener.next(5.0)]
    return heard


def test_who_listens_hears_more_at_once_than_may_wait(database: Database) -> None:
    number = 4 * BACKLOG

    async def talk(fan: EventFan, signal: Signal) -> None:
        with fan.listening() as one, fan.listening() as other:
            await asyncio.to_thread(_append, database, number)
            signal.notify()
            heard = await asyncio.gather(_hear(one, number), _hear(other, number))
            assert list(heard) == [list(range(1, number + 1))] * 2

    _listen(database, talk)


def test_who_does_not_keep_up_is_dropped_and_the_others_go_on(database: Database) -> None:
    async def talk(fan: EventFan, signal: Signal) -> None:
        with fan.listening() as slow, fan.listening() as other:
            await asyncio.to_thread(_append, database, 2 * BACKLOG)
            signal.notify()
            assert len(await _hear(other, 2 * BACKLOG)) == 2 * BACKLOG
            assert slow.is_dropped
            assert await slow.next(0.01) == []

    _listen(database, talk)


def test_nothing_is_told_when_nothing_happened_in_time(database: Database) -> None:
    async def talk(fan: EventFan, signal: Signal) -> None:
        with fan.listening() as listener:
            assert await listener.next(0.01) == []
            assert not listener.is_dropped

    _listen(database, talk)
